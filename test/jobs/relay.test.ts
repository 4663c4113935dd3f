import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { JobRoutes } from '../../src/core/asset-event.ts'
import { parseDigest } from '../../src/core/ids.ts'
import { createRouter } from '../../src/http/context.ts'
import { createGuards } from '../../src/http/principal.ts'
import { problemResponse } from '../../src/http/problem.ts'
import { backoffMs } from '../../src/jobs/backoff.ts'
import { createRelay, type Handler, type RelayPorts } from '../../src/jobs/relay.ts'
import { createJobsRoutes } from '../../src/jobs/routes.ts'
import { createOutbox, listJobs } from '../../src/metadata/outbox.ts'
import { openMemoryMetadata } from '../fixtures/memory-metadata.ts'
import { ADMIN_KEY, asAdmin } from '../fixtures/write-path.ts'

const digest = parseDigest('ab'.repeat(32))
const ROUTES: JobRoutes = { added: ['scan'], updated: [], hidden: ['purge-edge'], shown: [], purged: [] }

const until = async (done: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; tries < 1000; tries++) {
    if (await done()) return
    await sleep(5)
  }
  throw new Error('it never came')
}

const rig = (
  scan: Partial<Handler> & Pick<Handler, 'run'>,
  more: Partial<RelayPorts> = {},
  metadata = openMemoryMetadata(),
) => {
  const faults: string[] = []
  const relay = createRelay({
    metadata,
    handlers: { scan: { concurrency: 2, limitMs: 10_000, attempts: 3, ...scan } },
    onFault: (what) => faults.push(what),
    ...more,
  })
  const outbox = createOutbox(ROUTES, relay.wake)
  const add = (count = 1) =>
    metadata.transaction((t) =>
      outbox.append(
        t,
        Array.from({ length: count }, () => ({ kind: 'added' as const, digest })),
      ),
    )
  const jobs = () => listJobs(metadata.read, { after: 0, limit: 100 })
  return { metadata, relay, add, jobs, faults, stats: () => relay.stats().scan }
}

describe('the relay', () => {
  it('does every job, so many at once, and leaves no row', async () => {
    let [running, most] = [0, 0]
    const { relay, add, jobs, stats } = rig({
      run: async () => {
        most = Math.max(most, ++running)
        await sleep(1)
        running -= 1
      },
    })
    relay.start()
    await add(30)
    await until(() => stats()?.done === 30)
    await until(async () => (await jobs()).length === 0)
    expect(most).toBe(2)
    await relay[Symbol.asyncDispose]()
  })

  it('tries again what fails, later each time, and parks it', async () => {
    const { metadata, relay, add, jobs, stats, faults } = rig({
      run: async () => {
        throw new Error('not today')
      },
    })
    await add()
    relay.start()
    for (let attempt = 1; attempt <= 3; attempt++) {
      await until(() => (stats()?.failed ?? 0) >= attempt)
      await until(async () => (await jobs())[0]?.state !== 'running')
      metadata.rows('update outbox set due_at = 0 returning 1')
      relay.wake()
    }
    expect(await jobs()).toMatchObject([{ state: 'parked', attempts: 3, error: 'not today' }])
    expect(faults).toHaveLength(1)
    await relay[Symbol.asyncDispose]()
  })

  it('fails a handler at its time limit, even one that does not listen', async () => {
    const { relay, add, jobs, stats } = rig({ limitMs: 20, run: () => new Promise(() => undefined) })
    relay.start()
    await add()
    await until(() => stats()?.failed === 1)
    await until(async () => (await jobs())[0]?.state === 'pending')
    expect((await jobs())[0]?.error).toContain('timeout')
    await relay[Symbol.asyncDispose]()
  })

  it('does again what a dead worker left, and parks what kills its workers', async () => {
    let done = 0
    const { metadata, relay, add, jobs } = rig({
      run: async () => {
        done += 1
      },
    })
    await add(2)
    metadata.rows(`update outbox set claim = 'dead', due_at = 0, attempts = id * 2 - 1 returning 1`)
    relay.start()
    await until(async () => (await jobs()).every(({ state }) => state === 'parked'))
    expect(await jobs()).toMatchObject([{ id: 2, attempts: 4, error: 'its workers did not come back' }])
    expect(done).toBe(1)
    await relay[Symbol.asyncDispose]()
  })

  it('drains: what runs comes to its end, what was not begun goes back uncounted', async () => {
    let begun = 0
    const { relay, add, jobs } = rig({
      concurrency: 1,
      run: async () => {
        begun += 1
        await sleep(30)
      },
    })
    await add(3)
    relay.start()
    await until(() => begun === 1)
    await relay[Symbol.asyncDispose]()
    expect(await jobs()).toMatchObject([
      { state: 'pending', attempts: 0 },
      { state: 'pending', attempts: 0 },
    ])
  })

  it('cuts what does not end in time at the end of the process, to be done again', async () => {
    let begun = 0
    const run = () => {
      begun += 1
      return new Promise<void>(() => undefined)
    }
    const { relay, add, jobs } = rig({ run }, { drainMs: 10 })
    await add()
    relay.start()
    await until(() => begun === 1)
    await relay[Symbol.asyncDispose]()
    expect(await jobs()).toMatchObject([{ state: 'pending', attempts: 0, error: null }])
  })

  it('does not park what the ends of processes have cut off, however often', async () => {
    let begun = 0
    const run = () => {
      begun += 1
      return new Promise<void>(() => undefined)
    }
    const { metadata, relay, add, jobs, faults } = rig({ run }, { drainMs: 10 })
    await add()
    metadata.rows('update outbox set attempts = 2 returning 1')
    relay.start()
    await until(() => begun === 1)
    await relay[Symbol.asyncDispose]()
    expect(await jobs()).toMatchObject([{ state: 'pending', attempts: 2 }])
    expect(faults).toEqual([])
  })

  it('says how jobs ended as soon as the database is back, not when their lease has run out', async () => {
    let away = false
    const metadata = openMemoryMetadata()
    const flaky: typeof metadata = {
      ...metadata,
      transaction: (work) => (away ? Promise.reject(new Error('away')) : metadata.transaction(work)),
    }
    const run = async () => {
      away = true
    }
    const { relay, add, jobs, faults } = rig({ run }, { metadata: flaky, endAgainMs: 5 }, metadata)
    await add()
    relay.start()
    await until(() => faults.length === 1)
    expect(await jobs()).toMatchObject([{ state: 'running' }])
    away = false
    await until(async () => (await jobs()).length === 0)
    await relay[Symbol.asyncDispose]()
  })
})

describe('the pause before another attempt', () => {
  it('doubles, is bounded, and differs from job to job', () => {
    expect([1, 2, 3, 10, 1000].map((attempts) => backoffMs(attempts, 1))).toEqual([1000, 2000, 4000, 300_000, 300_000])
    expect(backoffMs(3, 0)).toBe(2000)
  })
})

describe('/internal/jobs', () => {
  it('lists by pages, tries again and drops, for an administrator', async () => {
    const { metadata, relay, add } = rig({ run: async () => undefined })
    const guards = createGuards(ADMIN_KEY, async () => undefined)
    const app = createRouter()
    app.onError((error) => problemResponse(error, 'test'))
    app.route('/internal/jobs', createJobsRoutes({ guards, metadata, wake: relay.wake }))
    const call = async (method: string, path: string, headers: Record<string, string> = asAdmin) => {
      const response = await app.request(`/internal/jobs${path}`, { method, headers })
      return { status: response.status, json: response.status === 200 ? await response.json() : undefined }
    }
    await add(3)
    metadata.rows('update outbox set parked = 1 where id = 2 returning 1')
    const first = await call('GET', '?limit=2')
    expect(first.json).toMatchObject({
      jobs: [
        { id: 1, state: 'pending' },
        { id: 2, state: 'parked' },
      ],
      next_cursor: '2',
    })
    expect((await call('GET', '?limit=2&cursor=2')).json).toMatchObject({ jobs: [{ id: 3 }], next_cursor: null })
    expect((await call('GET', '?state=parked')).json).toMatchObject({ jobs: [{ id: 2, hash: digest, kind: 'scan' }] })
    expect((await call('POST', '/2/retry')).status).toBe(204)
    expect((await call('GET', '?state=parked')).json).toMatchObject({ jobs: [] })
    expect((await call('DELETE', '/2')).status).toBe(204)
    expect((await call('DELETE', '/2')).status).toBe(404)
    expect((await call('POST', '/2/retry')).status).toBe(404)
    for (const wrong of ['?state=done', '?cursor=x', '?limit=0']) expect((await call('GET', wrong)).status).toBe(400)
    expect((await call('GET', '', {})).status).toBe(401)
  })
})
