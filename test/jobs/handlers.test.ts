import { describe, expect, it } from 'vitest'
import { type ChangeNotices, NOBODY_ASKED } from '../../src/coordination/coordination.ts'
import { AppError } from '../../src/core/errors.ts'
import { parseAssetId, parseDigest } from '../../src/core/ids.ts'
import { createClamd } from '../../src/jobs/clamd.ts'
import { createHandlers, type HandlerPorts, jobRoutes, type ScanMode } from '../../src/jobs/handlers.ts'
import { takeOut } from '../../src/lifecycle/quarantine-routes.ts'
import { createOutbox, listJobs } from '../../src/metadata/outbox.ts'
import { findDeliverySubject } from '../../src/metadata/subjects.ts'
import { EICAR, startClamdDouble } from '../engines/clamd-double.ts'
import { asAdmin, picture, temporaryWritePath, upload, type WritePath } from '../fixtures/write-path.ts'

const never = new AbortController().signal
const scanning = async (scan: ScanMode) => {
  const double = await startClamdDouble()
  const outbox = createOutbox(jobRoutes({ edges: true, scan, prewarm: false, notify: false }))
  const path = await temporaryWritePath({ outbox, newScan: scan === 'off' ? 'none' : 'pending' })
  const ports: HandlerPorts = {
    metadata: path.metadata,
    originals: path.originals,
    notices: path.notices,
    outbox,
    edges: true,
    scanner: createClamd({ host: '127.0.0.1', port: double.port }),
    scan,
    prewarm: [],
    warm: async () => undefined,
    webhook: undefined,
  }
  const scanJobs = async () => {
    for (const { id, kind, digest } of await listJobs(path.metadata.search, { kind: 'scan', after: 0, limit: 50 }))
      await createHandlers(ports).scan?.run({ id, kind, digest, attempts: 1, claim: 'x' }, never)
  }
  return {
    double,
    outbox,
    path,
    scanJobs,
    [Symbol.asyncDispose]: async () => {
      await path[Symbol.asyncDispose]()
      await double[Symbol.asyncDispose]()
    },
  }
}

const infected = async () => Buffer.concat([await picture(1), Buffer.from(EICAR)])
const stateOf = async ({ app }: Pick<WritePath, 'app'>, id: string): Promise<unknown> =>
  ((await (await app.request(`/assets/${id}`, { headers: asAdmin })).json()) as { scan: unknown }).scan

describe('the scan of an upload', () => {
  it('lets a picture be served meanwhile, or holds it until it is clean', async () => {
    await using rig = await scanning('hold')
    const { path } = rig
    const { asset } = await upload(path.app, await picture(1))
    const digest = parseDigest(asset.hash)
    expect(asset.scan).toEqual({ state: 'pending' })
    expect(await findDeliverySubject(path.metadata.read, digest, true)).toBeUndefined()
    expect(await findDeliverySubject(path.metadata.read, digest)).toMatchObject({ access: 'public' })
    const heard: unknown[] = []
    path.notices.subscribe((changed) => heard.push(changed))
    await rig.scanJobs()
    expect(heard).toEqual([digest])
    expect(await findDeliverySubject(path.metadata.read, digest, true)).toMatchObject({ access: 'public' })
    expect(await stateOf(path, asset.id)).toEqual({ state: 'clean' })
  })

  it.for(['after', 'hold'] as const)(
    'takes an infected picture from everybody, and from the edges (%s)',
    async (mode) => {
      await using rig = await scanning(mode)
      const { path } = rig
      const body = await infected()
      const { asset } = await upload(path.app, body)
      const digest = parseDigest(asset.hash)
      await rig.scanJobs()
      for (const hold of [true, false])
        expect(await findDeliverySubject(path.metadata.read, digest, hold)).toBeUndefined()
      expect(await stateOf(path, asset.id)).toEqual({ state: 'infected' })
      const purges = await listJobs(path.metadata.search, { kind: 'purge-edge', after: 0, limit: 5 })
      expect(purges).toMatchObject([{ digest }])
      // Nor does another upload of the same bytes wash it.
      expect((await upload(path.app, body)).asset.scan).toEqual({ state: 'infected' })
      expect(await findDeliverySubject(path.metadata.read, digest)).toBeUndefined()
    },
  )

  it('is not made again, but told again, when the job comes twice', async () => {
    await using rig = await scanning('after')
    await upload(rig.path.app, await picture(1))
    let heard = 0
    rig.path.notices.subscribe(() => heard++)
    await rig.scanJobs()
    await rig.scanJobs()
    expect([rig.double.scanned, heard]).toEqual([1, 2])
  })

  it('is asked for again of a picture that comes out of quarantine unseen', async () => {
    await using rig = await scanning('hold')
    const { path } = rig
    const { asset } = await upload(path.app, await picture(1))
    const digest = parseDigest(asset.hash)
    await path.app.request(`/assets/${asset.id}`, { method: 'DELETE', headers: asAdmin })
    const doomed = { id: parseAssetId(asset.id), digest }
    await path.purging.purge(doomed, { deletedBefore: new Date(Date.now() + 1), bytes: 'to quarantine' }, never)
    await rig.scanJobs()
    await path.metadata.transaction((t) => t.deleteFrom('outbox').execute())
    await takeOut({ ...path, outbox: rig.outbox }, digest, never)
    await rig.scanJobs()
    expect(await findDeliverySubject(path.metadata.read, digest, true)).toMatchObject({ access: 'public' })
    expect(rig.double.scanned).toBe(1)
  })

  it('leaves everything as it is while the scanner is away', async () => {
    await using rig = await scanning('hold')
    const { asset } = await upload(rig.path.app, await picture(1))
    rig.double.mood = 'hangs up'
    await expect(rig.scanJobs()).rejects.toThrow('hung up')
    expect(await stateOf(rig.path, asset.id)).toEqual({ state: 'pending' })
  })
})

describe('which events leave a job', () => {
  it('is none where nobody waits for them', async () => {
    const outbox = createOutbox(jobRoutes({ edges: false, scan: 'off', prewarm: false, notify: false }))
    await using path = await temporaryWritePath({ outbox })
    const { asset } = await upload(path.app, await picture(1))
    await path.app.request(`/assets/${asset.id}`, { method: 'DELETE', headers: asAdmin })
    expect(await listJobs(path.metadata.search, { after: 0, limit: 5 })).toEqual([])
  })

  it('is an edge purge where an asset is deleted or made private', async () => {
    const outbox = createOutbox(jobRoutes({ edges: true, scan: 'off', prewarm: true, notify: false }))
    await using path = await temporaryWritePath({ outbox })
    const { asset } = await upload(path.app, await picture(1))
    const patch = (body: object) =>
      path.app.request(`/assets/${asset.id}`, {
        method: 'PATCH',
        headers: { ...asAdmin, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
    for (const body of [{ title: 'x' }, { visibility: 'private' }, { visibility: 'private' }]) await patch(body)
    for (const method of ['DELETE', 'DELETE'])
      await path.app.request(`/assets/${asset.id}`, { method, headers: asAdmin })
    await path.app.request(`/assets/${asset.id}/restore`, { method: 'POST', headers: asAdmin })
    const jobs = await listJobs(path.metadata.search, { after: 0, limit: 9 })
    expect(jobs.map(({ kind }) => kind)).toEqual(['prewarm', 'purge-edge', 'purge-edge', 'prewarm'])
  })
})

describe('the other handlers', () => {
  const digest = parseDigest('ab'.repeat(32))
  const job = { id: 1, kind: 'purge-edge', digest, attempts: 1, claim: 'x' } as const
  const ports = (more: Partial<HandlerPorts>): HandlerPorts => ({ ...({} as HandlerPorts), prewarm: [], ...more })

  it('purge an edge until it confirms', async () => {
    const outcomes = ['unreachable', 'confirmed'] as const
    let told = 0
    const notices: ChangeNotices = {
      publish: async () => ({ ...NOBODY_ASKED, tiers: { edge: outcomes[told++] ?? 'refused' } }),
      subscribe: () => () => undefined,
      live: () => true,
    }
    const purge = createHandlers(ports({ edges: true, notices }))['purge-edge']
    await expect(purge?.run(job, never)).rejects.toThrow('edge: unreachable')
    await purge?.run(job, never)
  })

  it('prewarm what is configured, and pass over what cannot be made', async () => {
    const asked: string[] = []
    const warm = async (target: string) => {
      asked.push(target)
      if (asked.length === 1) throw new AppError('undecodable', 'no picture')
      if (asked.length === 3) throw new AppError('busy', 'too much to do')
    }
    const { prewarm } = createHandlers(ports({ prewarm: ['320x.webp', '@thumb.avif'], warm }))
    await prewarm?.run(job, never)
    await expect(prewarm?.run(job, never)).rejects.toThrow('too much to do')
    expect(asked.slice(0, 2)).toEqual([`/i/${digest}/320x.webp`, `/i/${digest}/@thumb.avif`])
  })
})
