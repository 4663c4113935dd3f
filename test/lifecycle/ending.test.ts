/** Quarantine, reconciler and scrub, over a real disk and SQLite. */
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Digest, parseDigest, variantKey } from '../../src/core/ids.ts'
import { assertSound } from '../../src/delivery/sound.ts'
import { createDescribeAsset } from '../../src/http/asset-document.ts'
import { createRouter, type Router } from '../../src/http/context.ts'
import { createGuards } from '../../src/http/principal.ts'
import { problemResponse } from '../../src/http/problem.ts'
import { createCollector } from '../../src/lifecycle/collect.ts'
import { createMaintenanceRoutes } from '../../src/lifecycle/maintenance-routes.ts'
import { createQuarantineRoutes } from '../../src/lifecycle/quarantine-routes.ts'
import { createReconcile, type Reconcile } from '../../src/lifecycle/reconcile.ts'
import { createReconcileRuns, type ReconcileRun } from '../../src/lifecycle/reconcile-runs.ts'
import { createSchedule } from '../../src/lifecycle/schedule.ts'
import { createScrub } from '../../src/lifecycle/scrub.ts'
import { NO_OUTBOX } from '../../src/metadata/outbox.ts'
import { findProgress, saveProgress } from '../../src/metadata/progress.ts'
import { findDeliverySubject } from '../../src/metadata/subjects.ts'
import { sampleVariant } from '../contract/variant-store.ts'
import { ADMIN_KEY, asAdmin, picture, temporaryWritePath, upload, type WritePath } from '../fixtures/write-path.ts'

const never = new AbortController().signal
const QUARANTINE_MS = 60_000

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

const openEnding = async () => {
  const path = await temporaryWritePath({ graceMs: 0 })
  const guards = createGuards(ADMIN_KEY, async () => undefined)
  const urls = { ready: () => 'x', signed: () => ({ url: 'x', expiresAt: new Date(0) }) }
  const describe = createDescribeAsset({ urls, ladder: [], defaultWidth: 640 })
  const reconcile = createReconcile({ ...path, variantLister: path.variants, graceMs: 0 })
  const scrub = createScrub(path, Number.POSITIVE_INFINITY)
  const collector = createCollector(
    { ...path, onFault: () => undefined },
    { graceMs: 0, quarantineMs: QUARANTINE_MS, sweepIntervalMs: 1e9, scanIntervalMs: 1e9 },
  )
  const app = createRouter()
  app.onError((error) => problemResponse(error, 'test'))
  const deps = { ...path, guards, describe, outbox: NO_OUTBOX, quarantineMs: QUARANTINE_MS }
  app.route('/internal/quarantine', createQuarantineRoutes(deps))
  const ends = { ending: never, onFault: () => undefined }
  const mount = (to: Router, run: Reconcile) => {
    const runs = createReconcileRuns({ ...path, ...ends, reconcile: run })
    to.route('/internal', createMaintenanceRoutes({ guards, runs, scrub, ...ends }))
  }
  mount(app, reconcile)
  const caller =
    (of: Router) =>
    async (method: string, at: string, headers: Record<string, string> = asAdmin) => {
      const response = await of.request(`/internal${at}`, { method, headers })
      return { status: response.status, json: (await response.json()) as Record<string, unknown> }
    }
  const call = caller(app)
  /** Another origin with the same rows, whose walk waits for `gate` when it has the lease. */
  const callOther = (gate: Promise<void>) => {
    const other = createRouter()
    const variantLister = {
      digests: async function* () {
        await gate
        yield* path.variants.digests()
      },
    }
    mount(other, createReconcile({ ...path, variantLister, graceMs: 0 }))
    return caller(other)
  }
  const fileOf = (digest: Digest) => join(path.folder, 'originals', digest.slice(0, 2), digest)
  const uploaded = async (seed: number) => {
    const { asset } = await upload(path.app, await picture(seed))
    return { id: asset.id, digest: parseDigest(asset.hash) }
  }
  const assetOf = async (id: string) =>
    (await (await path.app.request(`/assets/${id}`, { headers: asAdmin })).json()) as Record<string, unknown>
  const remove = (id: string) => path.app.request(`/assets/${id}`, { method: 'DELETE', headers: asAdmin })
  return { path, reconcile, scrub, collector, call, callOther, fileOf, uploaded, assetOf, remove }
}

/** As if its time had gone by: one short enough to wait for would also go by while the machine stalls. */
const passQuarantine = ({ metadata }: Pick<WritePath, 'metadata'>) =>
  metadata.transaction((t) =>
    t
      .updateTable('quarantine')
      .set({ at: Date.now() - QUARANTINE_MS - 1 })
      .execute(),
  )

describe('the quarantine', () => {
  it('keeps the bytes of the last asset for a second grace, and gives them back', async () => {
    const { path, collector, call, uploaded, assetOf, remove } = await openEnding()
    await using _path = path
    const { id, digest } = await uploaded(1)
    await remove(id)
    await sleep(2)
    await collector.sweep(never)
    expect(collector.stats).toMatchObject({ purged: 1, setAside: 1, originalsRemoved: 0 })
    expect(await findDeliverySubject(path.metadata.read, digest)).toBeUndefined()
    expect(await path.originals.size(digest)).toBeGreaterThan(0)
    const { json } = await call('GET', '/quarantine?limit=1')
    expect(json).toMatchObject({ entries: [{ hash: digest, reason: 'purged', asset_id: id }], next_cursor: null })
    expect((await call('POST', `/quarantine/${digest}/restore`)).json).toMatchObject({ id, deleted_at: null })
    expect(await findDeliverySubject(path.metadata.read, digest)).toMatchObject({ access: 'public' })
    expect(await assetOf(id)).toMatchObject({ id, hash: digest, fault: null })
    expect((await call('POST', `/quarantine/${digest}/restore`)).status).toBe(404)
    expect((await call('GET', '/quarantine', {})).status).toBe(401)
  })

  it('removes the bytes when it has passed', async () => {
    const { path, collector, uploaded, remove } = await openEnding()
    await using _path = path
    const { id, digest } = await uploaded(1)
    await path.variants.put(variantKey(digest, '320x.webp'), sampleVariant(10))
    await remove(id)
    await sleep(2)
    await collector.sweep(never)
    expect(await path.originals.size(digest)).toBeGreaterThan(0)
    await passQuarantine(path)
    await collector.sweep(never)
    expect(await path.originals.size(digest)).toBeUndefined()
    expect(await path.variants.find(variantKey(digest, '320x.webp'))).toBeUndefined()
    expect(collector.stats).toMatchObject({ setAside: 1, originalsRemoved: 1 })
  })

  it('is not held up by bytes that cannot be removed', async () => {
    const { path, uploaded, remove } = await openEnding()
    await using _path = path
    const [stuck, free] = [await uploaded(1), await uploaded(2)]
    for (const { id } of [stuck, free]) {
      await remove(id)
      await sleep(2)
    }
    const faults: unknown[] = []
    const purging: typeof path.purging = {
      ...path.purging,
      discard: (digest, before, signal) =>
        digest === stuck.digest ? Promise.reject(new Error('EIO')) : path.purging.discard(digest, before, signal),
    }
    const collector = createCollector(
      { ...path, purging, onFault: (error) => faults.push(error) },
      { graceMs: 0, quarantineMs: 1, sweepIntervalMs: 1e9, scanIntervalMs: 1e9 },
    )
    await collector.sweep(never)
    await sleep(5)
    await collector.sweep(never)
    expect(await path.originals.size(free.digest)).toBeUndefined()
    expect(await path.originals.size(stuck.digest)).toBeGreaterThan(0)
    expect(collector.stats).toMatchObject({ setAside: 2, originalsRemoved: 1, sweeps: 2 })
    expect(faults.length).toBeGreaterThan(0)
  })

  it('lets an upload of the same bytes win', async () => {
    const { path, collector, call, uploaded, remove } = await openEnding()
    await using _path = path
    const { id, digest } = await uploaded(1)
    await remove(id)
    await sleep(2)
    await collector.sweep(never)
    await uploaded(1)
    expect((await call('POST', `/quarantine/${digest}/restore`)).status).toBe(409)
    await passQuarantine(path)
    await collector.sweep(never)
    expect(await path.originals.size(digest)).toBeGreaterThan(0)
    expect((await call('GET', '/quarantine')).json).toMatchObject({ entries: [] })
  })

  it('takes orphans too, of which nothing can be restored', async () => {
    const { path, collector, call } = await openEnding()
    await using _path = path
    await using orphan = await path.originals.stage(once(Buffer.from('orphan')), 100, never)
    await orphan.publish()
    await sleep(20)
    await collector.scan(never)
    await collector.scan(never)
    expect(collector.stats).toMatchObject({ setAside: 1, orphansRemoved: 0 })
    expect(await path.originals.size(orphan.digest)).toBe(6)
    expect((await call('POST', `/quarantine/${orphan.digest}/restore`)).status).toBe(409)
  })
})

describe('the reconciler', () => {
  it('finds nothing where nothing is wrong', async () => {
    const { path, call, uploaded } = await openEnding()
    await using _path = path
    for (let seed = 1; seed <= 5; seed++) await uploaded(seed)
    const { status, json } = await call('POST', '/reconcile')
    expect(status).toBe(200)
    expect(json).toMatchObject({ state: 'done', stored: 5, rows: 5, findings: [], repaired: 0 })
  })

  it('reports every kind of fault, repairs it when told, and then finds nothing', async () => {
    const { path, call, fileOf, uploaded, assetOf } = await openEnding()
    await using _path = path
    const [sound, missing, short] = [await uploaded(1), await uploaded(2), await uploaded(3)]
    await rm(fileOf(missing.digest))
    await writeFile(fileOf(short.digest), 'short')
    await using orphan = await path.originals.stage(once(Buffer.from('orphan')), 100, never)
    await orphan.publish()
    const stray = parseDigest('f'.repeat(64))
    for (const digest of [stray, sound.digest]) await path.variants.put(variantKey(digest, 'x.webp'), sampleVariant(10))
    await sleep(20)
    const found = { orphan: 1, missing: 1, damaged: 1, sound: 0, variants: 1 }
    const dry = await call('POST', '/reconcile?dry_run=1')
    expect(dry.json).toMatchObject({ dry_run: true, stored: 3, rows: 3, found, repaired: 0 })
    expect((await call('POST', '/reconcile?dry_run=true')).json).toMatchObject({ found })
    expect(await assetOf(missing.id)).toMatchObject({ fault: null })

    const wet = await call('POST', '/reconcile')
    expect(wet.json).toMatchObject({ dry_run: false, found, repaired: 4 })
    expect(new Map((wet.json.findings as { kind: string; hash: string }[]).map((one) => [one.kind, one.hash]))).toEqual(
      new Map([
        ['orphan', orphan.digest],
        ['missing', missing.digest],
        ['damaged', short.digest],
        ['variants', stray],
      ]),
    )
    expect(await assetOf(missing.id)).toMatchObject({ fault: 'missing' })
    expect(await assetOf(short.id)).toMatchObject({ fault: 'damaged' })
    expect(await path.variants.find(variantKey(sound.digest, 'x.webp'))).toBeDefined()
    expect(await path.variants.find(variantKey(stray, 'x.webp'))).toBeUndefined()
    const again = await call('POST', '/reconcile')
    expect(again.json).toMatchObject({ findings: [], quarantined: 1 })
    expect((await call('GET', '/reconcile')).json).toEqual(again.json)
  })

  it('is told of and joined by whichever origin is asked, and lost with the one that walked', async () => {
    const { path, call, callOther, uploaded } = await openEnding()
    await using _path = path
    await uploaded(1)
    const gate = Promise.withResolvers<void>()
    const other = callOther(gate.promise)
    const walking = other('POST', '/reconcile?dry_run=1')
    await expect.poll(() => call('GET', '/reconcile')).toMatchObject({ status: 202, json: { state: 'running' } })
    expect(await call('POST', '/reconcile')).toMatchObject({ status: 202, json: { state: 'running', dry_run: true } })
    gate.resolve()
    const walked = await walking
    expect(walked).toMatchObject({ status: 200, json: { state: 'done', dry_run: true, stored: 1 } })
    expect(await call('GET', '/reconcile')).toEqual(walked)

    const row = await findProgress<ReconcileRun>(path.metadata.search, 'reconcile')
    const lost = { position: '', report: { ...row?.report, state: 'running' }, at: new Date(Date.now() - 120_000) }
    await path.metadata.transaction((transaction) => saveProgress(transaction, 'reconcile', lost))
    expect((await call('GET', '/reconcile')).json).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('went away'),
    })
    expect((await call('POST', '/reconcile')).json).toMatchObject({ state: 'done', dry_run: false })
  })

  it('takes the mark away from what is back', async () => {
    const { path, call, fileOf, uploaded, assetOf } = await openEnding()
    await using _path = path
    const { id, digest } = await uploaded(1)
    const body = await picture(1)
    await rm(fileOf(digest))
    await call('POST', '/reconcile')
    await writeFile(fileOf(digest), body)
    expect((await call('POST', '/reconcile')).json).toMatchObject({ found: { sound: 1 } })
    expect(await assetOf(id)).toMatchObject({ fault: null })
  })

  it('is an administrator’s', async () => {
    const { path, call } = await openEnding()
    await using _path = path
    for (const at of ['/reconcile', '/scrub'])
      for (const method of ['GET', 'POST']) expect((await call(method, at, {})).status).toBe(401)
    expect((await call('GET', '/reconcile')).json).toMatchObject({ state: 'never' })
    expect((await call('POST', '/reconcile?dry_run=maybe')).status).toBe(400)
  })
})

describe('the scrub', () => {
  it('finds bytes that are not what they were, and says so of the asset; an upload is the cure', async () => {
    const { path, call, fileOf, uploaded, assetOf } = await openEnding()
    await using _path = path
    const [sound, rotten, gone] = [await uploaded(1), await uploaded(2), await uploaded(3)]
    const body = await picture(2)
    const flipped = Buffer.from(body)
    flipped[100] = (flipped[100] ?? 0) ^ 1
    await writeFile(fileOf(rotten.digest), flipped)
    await rm(fileOf(gone.digest))
    const { json } = await call('POST', '/scrub')
    expect(json).toMatchObject({ state: 'done', checked: 3, damaged: 1, missing: 1, unread: 0 })
    expect(new Set(json.faulty as string[])).toEqual(new Set([rotten.digest, gone.digest]))
    expect(await assetOf(rotten.id)).toMatchObject({ fault: 'damaged' })
    expect(await assetOf(gone.id)).toMatchObject({ fault: 'missing' })
    expect(await assetOf(sound.id)).toMatchObject({ fault: null })
    const subject = await findDeliverySubject(path.metadata.read, rotten.digest)
    if (!subject) throw new Error('it is hidden')
    expect(() => assertSound(subject)).toThrow('have to be uploaded again')

    const again = await upload(path.app, body)
    expect(again.asset).toMatchObject({ fault: null, deduplicated: true })
    expect(await assetOf(rotten.id)).toMatchObject({ fault: null })
    expect((await call('POST', '/scrub')).json).toMatchObject({ damaged: 0, missing: 1 })
  })

  it('goes on where it stopped', async () => {
    const { path, uploaded } = await openEnding()
    await using _path = path
    for (let seed = 1; seed <= 6; seed++) await uploaded(seed)
    const abort = new AbortController()
    let reads = 0
    const originals: typeof path.originals = {
      ...path.originals,
      read: (...args) => {
        if (++reads === 4) abort.abort(new Error('the process ends'))
        return path.originals.read(...args)
      },
    }
    const first = createScrub({ ...path, originals }, Number.POSITIVE_INFINITY)
    await expect(first.run(abort.signal)).rejects.toThrow('the process ends')
    const second = createScrub(path, Number.POSITIVE_INFINITY)
    expect(await second.report()).toMatchObject({ checked: 3, finishedAt: null })
    expect(await second.run(never)).toMatchObject({ checked: 6, damaged: 0 })
    expect(second.stats.checked).toBe(3)
    expect(await createScrub(path, Number.POSITIVE_INFINITY).run(never)).toMatchObject({ checked: 6 })
  })

  it('keeps to its rate', async () => {
    const { path, uploaded } = await openEnding()
    await using _path = path
    const { digest } = await uploaded(1)
    const bytes = (await path.originals.size(digest)) ?? 0
    const begunAt = performance.now()
    await createScrub(path, bytes * 10).run(never)
    // No less than the tenth of a second that its bytes are worth; how much more is the machine's affair.
    expect(performance.now() - begunAt).toBeGreaterThan(95)
  })
})

describe('what comes on schedule', () => {
  it('comes again after a fault, is counted, and ends with the process', async () => {
    let runs = 0
    const faults: string[] = []
    const chore = {
      name: 'sweep',
      firstAfterMs: 0,
      everyMs: 1,
      run: async () => {
        if (++runs === 1) throw new Error('no')
        return 2
      },
    }
    {
      await using schedule = createSchedule([chore], (name) => faults.push(name))
      schedule.start()
      while ((schedule.stats.sweep?.runs ?? 0) < 2) await sleep(2)
      expect(schedule.stats.sweep).toMatchObject({ faults: 1 })
      expect(schedule.stats.sweep?.done).toBe((schedule.stats.sweep?.runs ?? 0) * 2)
    }
    const ended = runs
    await sleep(10)
    expect([runs, faults]).toEqual([ended, ['sweep']])
  })

  it('expires variants that nobody uses', async () => {
    const { path, uploaded } = await openEnding()
    await using _path = path
    const { digest } = await uploaded(1)
    await path.variants.put(variantKey(digest, 'x.webp'), sampleVariant(10))
    expect(await path.variants.expire(new Date(Date.now() - 60_000))).toBe(0)
    expect(await path.variants.expire(new Date(Date.now() + 60_000))).toBe(1)
    expect((await readdir(join(path.folder, 'variants', digest.slice(0, 2)))).length).toBe(0)
  })
})
