import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { childrenOf } from '../fixtures/children.ts'
import { type AssetJson, json, type Origin, startOrigin } from './origin.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))

/** Everything below a folder that another user may read, write or enter. @throws when something went meanwhile. */
const openToOthers = async (folder: string): Promise<readonly string[]> => {
  const names = await readdir(folder, { recursive: true })
  expect(names).toEqual(expect.arrayContaining(['oriel.db', 'oriel.db-wal', 'originals', 'variants']))
  const modes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).mode))
  return names.filter((_, at) => ((modes[at] ?? 0) & 0o077) !== 0)
}

/** Not one that has ended and is only waited for. */
const isAlive = (pid: number): boolean =>
  /^[^Z]/.test(spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout)

/** Variants done, being made and waiting to be. */
const rendersBegun = async ({ url }: Origin): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text()
  const names = ['rendered_total', 'running', 'waiting']
  return names.reduce(
    (sum, name) => sum + Number(new RegExp(`^oriel_renderers_${name} (\\d+)$`, 'm').exec(text)?.[1]),
    0,
  )
}

describe('the process', () => {
  it('refuses to start with a wrong configuration, naming every fault', () => {
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
    const env = { PATH: process.env.PATH ?? '', PORT: 'many', ORIEL_TYPO: '1' }
    const { status, stderr } = spawnSync(process.execPath, [main], { env, encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toContain('PORT: ')
    expect(stderr).toContain('ORIEL_TYPO: no such variable')
  })

  it('refuses a data folder that another process uses', async () => {
    await using origin = await startOrigin()
    await expect(startOrigin({ data: origin.data })).rejects.toThrow('another Oriel is running')
  })

  it('names the port that another process listens on', async () => {
    await using origin = await startOrigin()
    const { port } = new URL(origin.url)
    const failing = startOrigin({ data: `${origin.data}-other`, env: { PORT: port } })
    await expect(failing).rejects.toThrow(`cannot listen on port ${port} of 127.0.0.1 (PORT, HOST): another process`)
  })

  it('keeps all that it writes from other users, in a data folder that was there before it too', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'oriel-modes-'))
    const data = join(parent, 'data')
    await mkdir(data, { mode: 0o755 })
    {
      await using origin = await startOrigin({ data })
      const { hash } = await origin.upload(photo)
      expect((await fetch(`${origin.url}/i/${hash}/320x.webp`)).status).toBe(200)
      // Polled, since files that are there for a moment only may go while they are looked at.
      await expect.poll(() => openToOthers(data)).toEqual([])
    }
    await rm(parent, { recursive: true, force: true })
  })

  it('on SIGTERM ends what is in flight, then exits 0 and leaves no child behind', async () => {
    await using origin = await startOrigin()
    const { hash } = await origin.upload(photo)
    await (await fetch(`${origin.url}/i/${hash}/32x.webp`)).arrayBuffer()
    // Stopped, so that what they render is in flight for certain; small, so that it is done long before the drain cuts it off.
    const renderers = childrenOf(origin.pid)
    for (const pid of renderers) process.kill(pid, 'SIGSTOP')
    const widths = [64, 80, 96, 120, 128, 150, 160, 180]
    const inFlight = widths.map((width) => fetch(`${origin.url}/i/${hash}/${width}x.webp`))
    // In flight is what has reached the server: a connection that has not said anything yet may be closed.
    await expect.poll(() => rendersBegun(origin)).toBe(1 + widths.length)
    const stopped = origin.stop('SIGTERM')
    await expect.poll(() => origin.output()).toContain('draining')
    for (const pid of renderers) process.kill(pid, 'SIGCONT')
    const [code, ...answers] = await Promise.all([stopped, ...inFlight])
    expect(code).toBe(0)
    expect(answers.map((answer) => answer.status)).toEqual(widths.map(() => 200))
    expect(renderers).not.toEqual([])
    // They end with the line to their parent, which may have been read a moment after it.
    await expect.poll(() => renderers.filter(isAlive)).toEqual([])
  })

  it('after kill -9 serves what it acknowledged, and knows the same admin key', async () => {
    await using first = await startOrigin({ env: { ORIEL_ADMIN_KEY: '' } })
    const key = /Admin key {3}(\S+)/.exec(first.output())?.[1]
    const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'image/jpeg' }
    const uploaded = await fetch(`${first.url}/assets/upload`, { method: 'POST', headers, body: photo })
    expect(uploaded.status).toBe(201)
    const { id, hash } = await json<AssetJson>(uploaded)
    await first.stop('SIGKILL')
    await using second = await startOrigin({ data: first.data, env: { ORIEL_ADMIN_KEY: '' } })
    expect(second.output()).not.toContain(key ?? 'no key')
    expect((await fetch(`${second.url}/assets/${id}`, { headers })).status).toBe(200)
    const original = await fetch(`${second.url}/i/${hash}/original`)
    expect(new Uint8Array(await original.arrayBuffer())).toEqual(photo)
  })

  it('tells operators that it is alive, ready, and what it counts', async () => {
    await using origin = await startOrigin()
    expect((await fetch(`${origin.url}/healthz`)).status).toBe(200)
    const ready = async () => json<{ status: string; engines: object }>(await fetch(`${origin.url}/readyz`))
    // An engine that does not answer in a second is down, as one may be on a machine that has just started many.
    await expect.poll(async () => (await ready()).status).toBe('ready')
    expect(Object.keys((await ready()).engines)).toEqual(['metadata', 'blobs', 'renderers', 'analytics'])
    const metrics = await (await fetch(`${origin.url}/metrics`)).text()
    expect(metrics).toContain('\noriel_delivery_hot_total 0\n')
    const kinds = [...metrics.matchAll(/^# TYPE (oriel_\w+) (\w+)$/gm)].map(([, name = '', kind]) => ({ name, kind }))
    expect(kinds.filter(({ name, kind }) => (kind === 'counter') !== name.endsWith('_total'))).toEqual([])
    expect(kinds.filter(({ kind }) => kind === 'gauge')).toHaveLength(28)
    const openapi = await json<{ openapi: string; paths: Record<string, Record<string, unknown>> }>(
      await fetch(`${origin.url}/openapi.json`),
    )
    expect(openapi.openapi).toBe('3.1.0')
    expect(openapi.paths['/assets/upload']?.post).toBeDefined()
    expect(openapi.paths['/images/upload']?.post).toBeDefined()
    expect(openapi.paths['/i/{hash}/{size}.{fmt}']?.get).toBeDefined()
  })

  it('records one row for every image request, refused ones too', async () => {
    await using origin = await startOrigin()
    const { hash } = await origin.upload(photo)
    for (const path of ['320x.webp', '320x.webp', '320x.bmp', 'original']) {
      await (
        await fetch(`${origin.url}/i/${hash}/${path}`, { headers: { Referer: 'https://shop.example/p/1' } })
      ).arrayBuffer()
    }
    const ask = () => origin.api('/analytics/summary?group_by=tier,status')
    if (process.env.CI !== 'true' && (await ask()).status === 503) {
      console.log('left out: chDB does not run here, so the rows were not counted')
      return
    }
    const summary = async () =>
      json<{ rows: { tier: string; status: number }[]; total: { requests: number } }>(await ask())
    // An original is counted when its stream has closed, which we see before the server does.
    await expect.poll(async () => (await summary()).total.requests).toBe(4)
    const { rows } = await summary()
    expect(rows.map((row) => `${row.tier} ${row.status}`).sort()).toEqual([
      'memory 200',
      'none 400',
      'original 200',
      'render 200',
    ])
    const csv = await (await origin.api('/analytics/summary?group_by=referrer&format=csv')).text()
    expect(csv).toMatch(/^referrer,requests,/)
    expect(csv).toContain('shop.example,4,')
  })
})
