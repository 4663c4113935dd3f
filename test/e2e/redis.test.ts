/**
 * Real processes over one real Redis. Each has its own disk and database, and was given the same photo: variants are named by the
 * picture's hash alone, so what they share, they share through Redis.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RedisServer, redisIsHere, startRedis } from '../engines/redis.ts'
import { childrenOf } from '../fixtures/children.ts'
import { until } from '../fixtures/until.ts'
import { metric, sumOf } from './metric.ts'
import { type AssetJson, json, type Origin, startOrigin } from './origin.ts'
import { expectOneRender, timesLate } from './redis-in-time.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))
const ORIGINS = 4

const renderersOf = ({ pid }: Origin) => childrenOf(pid)
const signal = (pids: readonly number[], name: NodeJS.Signals) => {
  for (const pid of pids) process.kill(pid, name)
}

interface Answer {
  readonly status: number
  /** The body is what its own header says it is. */
  readonly whole: boolean
  readonly sha256: string
}

const get = async (url: string): Promise<Answer> => {
  const response = await fetch(url)
  const body = new Uint8Array(await response.arrayBuffer())
  const sha256 = createHash('sha256').update(body).digest('base64')
  return { status: response.status, whole: response.headers.get('repr-digest') === `sha-256=:${sha256}:`, sha256 }
}

/** As an edge does: an origin that breaks off is one to try another in place of. */
const getFromAny = async (origins: readonly Origin[], first: number, path: string): Promise<Answer> => {
  for (let attempt = 0; ; attempt += 1) {
    const origin = origins[(first + attempt) % origins.length]
    try {
      return await get(`${origin?.url}${path}`)
    } catch (error) {
      if (attempt >= ORIGINS) throw error
    }
  }
}

describe.runIf(redisIsHere())('origins over one Redis', () => {
  let redis: RedisServer
  let origins: readonly Origin[] = []
  let hash = ''

  const startOne = async (): Promise<Origin> => {
    const origin = await startOrigin({
      env: { ORIEL_REDIS: redis.url, ORIEL_ANALYTICS: 'off', ORIEL_RENDERERS: '1', ORIEL_LOG_LEVEL: 'warn' },
    })
    const asset: AssetJson = await origin.upload(photo)
    hash = asset.hash
    return origin
  }
  const allLive = () => until(async () => (await sumOf(origins, 'redis_live')) === origins.length)

  beforeAll(async () => {
    redis = await startRedis()
    origins = await Promise.all(Array.from({ length: ORIGINS }, startOne))
    await allLive()
  })
  afterAll(async () => {
    await Promise.all(origins.map((origin) => origin[Symbol.asyncDispose]()))
    await redis[Symbol.asyncDispose]()
  })

  const ask400 = (path: string): Promise<readonly Answer[]> =>
    Promise.all(Array.from({ length: 400 }, (_, at) => getFromAny(origins, at, path)))

  const expectOnePicture = (answers: readonly Answer[]) => {
    expect(answers.filter(({ status, whole }) => status !== 200 || !whole)).toEqual([])
    expect(new Set(answers.map(({ sha256 }) => sha256)).size).toBe(1)
  }

  it('render once what 400 ask of four of them at the same moment', async () => {
    let [heard, found] = [0, 0]
    await expectOneRender(
      origins,
      [`/i/${hash}/640x.webp`, `/i/${hash}/640x.jpg`, `/i/${hash}/640x.png`],
      async (path) => {
        heard = await sumOf(origins, 'redis_render_arrived_total')
        found = await sumOf(origins, 'variants_shared_hits_total')
        expectOnePicture(await ask400(path))
      },
    )
    // The other three had it from the shared cache, told of its arrival or by looking a moment later.
    expect((await sumOf(origins, 'redis_render_arrived_total')) - heard).toBeLessThanOrEqual(3)
    expect((await sumOf(origins, 'variants_shared_hits_total')) - found).toBe(3)
  })

  it('do not render what one of them has rendered before', async () => {
    await expectOneRender(
      origins,
      [`/i/${hash}/320x.webp`, `/i/${hash}/320x.jpg`, `/i/${hash}/320x.png`],
      async (path) => {
        for (const origin of origins) expect((await get(origin.url + path)).whole).toBe(true)
      },
    )
  })

  it('answer correctly all the while that Redis hangs under load, and share again after', async () => {
    const widths = [320, 360, 375, 390, 412, 414, 480, 540, 600, 640, 720, 750, 768, 800, 828, 900]
    const answers: Answer[] = []
    let asking = true
    const client = async (number: number) => {
      for (let at = number; asking; at += 1) {
        const origin = origins[at % ORIGINS]
        const width = widths[at % widths.length]
        answers.push(await get(`${origin?.url}/i/${hash}/${width}x.${at % 3 ? 'webp' : 'jpg'}`))
        await sleep(10)
      }
    }
    const clients = Array.from({ length: 6 }, (_, number) => client(number))
    await until(() => answers.length > 0)
    redis.hang()
    await until(async () => (await sumOf(origins, 'redis_live')) === 0)
    const answered = answers.length
    await until(() => answers.length > answered + 20)
    for (const origin of origins) {
      const ready = async () => {
        const answer = await fetch(`${origin.url}/readyz`)
        return [answer.status, await json(answer)]
      }
      await expect.poll(ready).toMatchObject([200, { engines: { redis: { state: 'degraded' } } }])
    }
    // Uploads and deletes go on as well.
    const [origin] = origins
    const { id } = await json<AssetJson>(
      await (origin as Origin).api('/assets/upload', {
        method: 'POST',
        headers: { 'Content-Type': 'image/jpeg' },
        body: photo,
      }),
    )
    expect((await (origin as Origin).api(`/assets/${id}`, { method: 'DELETE' })).ok).toBe(true)
    redis.resume()
    await allLive()
    asking = false
    await Promise.all(clients)
    expect(answers.filter(({ status, whole }) => status !== 200 || !whole)).toEqual([])
    await expectOneRender(
      origins,
      [`/i/${hash}/1200x.webp`, `/i/${hash}/1200x.jpg`, `/i/${hash}/1200x.png`],
      async (path) => expectOnePicture(await ask400(path)),
    )
  })

  it('render for themselves while Redis is down, and share again when it is back', async () => {
    await redis.kill()
    await until(async () => (await sumOf(origins, 'redis_live')) === 0)
    const before = await sumOf(origins, 'renderers_rendered_total')
    expectOnePicture(await ask400(`/i/${hash}/960x.webp`))
    expect((await sumOf(origins, 'renderers_rendered_total')) - before).toBe(ORIGINS)
    await redis.start()
    await allLive()
    await expectOneRender(
      origins,
      [`/i/${hash}/1024x.webp`, `/i/${hash}/1024x.jpg`, `/i/${hash}/1024x.png`],
      async (path) => expectOnePicture(await ask400(path)),
    )
  })

  it('render it once more at the most when the one that renders is killed, and answer every request', async () => {
    const each = (name: string) => Promise.all(origins.map((origin) => metric(origin, name)))
    // The next picture only where Redis was late, so that another rendered too before anyone was killed.
    for (const width of [480, 540, 600]) {
      const renderers = origins.map(renderersOf)
      // Stopped, so that the render is certainly under way when its origin dies.
      for (const pids of renderers) signal(pids, 'SIGSTOP')
      const before = await each('renderers_rendered_total')
      const late = await Promise.all(origins.map((origin) => timesLate([origin])))
      const waited = await sumOf(origins, 'redis_render_waited_total')
      const asked = ask400(`/i/${hash}/${width}x.avif`)
      const rendering = () => sumOf(origins, 'renderers_running')
      const waiting = async () => (await sumOf(origins, 'redis_render_waited_total')) - waited
      await until(async () => (await rendering()) + (await waiting()) >= ORIGINS)
      const running = await each('renderers_running')
      const holder = running.indexOf(1)
      const alone = running.reduce((sum, one) => sum + one) === 1
      if (alone) {
        await origins[holder]?.stop('SIGKILL')
        signal(renderers[holder] ?? [], 'SIGKILL')
      }
      for (const [at, pids] of renderers.entries()) if (!alone || at !== holder) signal(pids, 'SIGCONT')
      expectOnePicture(await asked)
      if (!alone) continue
      const left = <T>(values: readonly T[]): readonly T[] => values.filter((_, at) => at !== holder)
      const sum = (values: readonly number[]) => left(values).reduce((total, value) => total + value)
      const begun = (await sumOf(left(origins), 'renderers_rendered_total')) - sum(before)
      const missed = (await timesLate(left(origins))) - sum(late)
      // One more than the one that died with its origin, and none where nobody was late.
      expect(begun).toBeGreaterThanOrEqual(1)
      expect(begun).toBeLessThanOrEqual(1 + missed)
      return
    }
    throw new Error('Redis was late each time: nothing is proven')
  })
})
