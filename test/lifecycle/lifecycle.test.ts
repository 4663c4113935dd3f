import { createHash } from 'node:crypto'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { parseDigest, variantKey } from '../../src/core/ids.ts'
import { findOriginal } from '../../src/metadata/originals.ts'
import { findDeliverySubject } from '../../src/metadata/subjects.ts'
import { sampleVariant } from '../contract/variant-store.ts'
import { asAdmin, asOwner, picture, temporaryWritePath, upload, type WritePath } from '../fixtures/write-path.ts'

const never = new AbortController().signal
const call = async ({ app }: Pick<WritePath, 'app'>, method: string, path: string): Promise<number> =>
  (await app.request(path, { method, headers: asAdmin })).status

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

describe('a soft delete', () => {
  it('hides the asset at once, again without error, and a restore brings it back', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    const heard: string[] = []
    path.notices.subscribe((digest) => heard.push(digest))
    expect(await call(path, 'DELETE', `/assets/${asset.id}`)).toBe(204)
    expect(heard).toEqual([asset.hash])
    expect(await call(path, 'DELETE', `/assets/${asset.id}`)).toBe(204)
    expect((await findDeliverySubject(path.metadata.read, parseDigest(asset.hash)))?.access).toBe('deleted')
    expect(await call(path, 'POST', `/assets/${asset.id}/restore`)).toBe(200)
    expect(await call(path, 'POST', `/assets/${asset.id}/restore`)).toBe(200)
    expect((await findDeliverySubject(path.metadata.read, parseDigest(asset.hash)))?.access).toBe('public')
    expect(await call(path, 'DELETE', '/assets/a_0000000000000000000000')).toBe(404)
  })

  it('cannot be undone after its grace', async () => {
    await using path = await temporaryWritePath({ graceMs: 0 })
    const { asset } = await upload(path.app, await picture(1))
    await call(path, 'DELETE', `/assets/${asset.id}`)
    expect(await call(path, 'POST', `/assets/${asset.id}/restore`)).toBe(410)
  })

  it('leaves one change for each step, in order', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    for (const step of ['DELETE', 'DELETE']) await call(path, step, `/assets/${asset.id}`)
    await call(path, 'POST', `/assets/${asset.id}/restore`)
    const changes = await path.metadata.read.selectFrom('changes').select(['kind', 'asset_id']).execute()
    expect(changes.map(({ kind }) => kind)).toEqual(['added', 'deleted', 'added'])
  })
})

describe('what delivery is told of a hash', () => {
  it.for([
    ['public', 'private', 'public', true],
    ['private', 'private', 'private', false],
    ['private deleted', 'private deleted', 'deleted', false],
    ['public deleted', 'private', 'private', true],
    ['public deleted', 'private deleted', 'deleted', true],
  ] as const)('with one asset %s and one %s: %s', async ([one, two, access, wasPublic]) => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    for (const state of [one, two]) {
      const [visibility, deleted] = state.split(' ')
      const { asset } = await upload(path.app, body, {}, `?visibility=${visibility}`)
      if (deleted) await call(path, 'DELETE', `/assets/${asset.id}`)
    }
    const digest = parseDigest(createHash('sha256').update(body).digest('hex'))
    const subject = await findDeliverySubject(path.metadata.read, digest)
    expect(subject).toMatchObject({ access, wasPublic, ownerId: 'admin', bytes: body.length, facts: { width: 64 } })
    expect(await findDeliverySubject(path.metadata.read, parseDigest('0'.repeat(64)))).toBeUndefined()
  })

  it('names the owner of the public asset', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    const { asset } = await upload(path.app, body, {}, '?visibility=private')
    await upload(path.app, body, await asOwner(path.app, 'alice'), '?visibility=public')
    expect((await findDeliverySubject(path.metadata.read, parseDigest(asset.hash)))?.ownerId).toBe('alice')
  })
})

describe('a cleanup', () => {
  it('refuses what is live or in its grace, unless forced; the bytes go with the last asset', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    const [first, second] = [await upload(path.app, body), await upload(path.app, body)]
    const digest = parseDigest(first.asset.hash)
    await path.variants.put(variantKey(digest, '320x.webp'), sampleVariant(10))
    const cleanup = (id: string, query = '') => call(path, 'POST', `/internal/assets/${id}/cleanup${query}`)
    expect(await cleanup(first.asset.id, '?force=true')).toBe(409)
    await call(path, 'DELETE', `/assets/${first.asset.id}`)
    expect(await cleanup(first.asset.id)).toBe(409)
    expect(await cleanup(first.asset.id, '?force=true')).toBe(200)
    expect(await cleanup(first.asset.id)).toBe(404)
    expect(await path.originals.size(digest)).toBe(body.length)
    expect(await path.variants.find(variantKey(digest, '320x.webp'))).toBeDefined()
    await call(path, 'DELETE', `/assets/${second.asset.id}`)
    expect(await cleanup(second.asset.id, '?force=true')).toBe(200)
    expect(await path.originals.size(digest)).toBeUndefined()
    expect(await path.variants.find(variantKey(digest, '320x.webp'))).toBeUndefined()
    expect(await findOriginal(path.metadata.read, digest)).toBeUndefined()
  })

  it('is an administrator’s call', async () => {
    await using path = await temporaryWritePath()
    const headers = await asOwner(path.app, 'alice')
    const { asset } = await upload(path.app, await picture(1), headers)
    const response = await path.app.request(`/internal/assets/${asset.id}/cleanup`, { method: 'POST', headers })
    expect(response.status).toBe(403)
  })
})

describe('the collector', () => {
  it('purges what is past its grace and only that', async () => {
    await using path = await temporaryWritePath()
    const [gone, kept] = [await upload(path.app, await picture(1)), await upload(path.app, await picture(2))]
    await call(path, 'DELETE', `/assets/${gone.asset.id}`)
    await path.collector.sweep(never)
    expect(path.collector.stats.purged).toBe(0)
    // Its grace of a minute is over when we say so: one that is short enough to wait for also ends while a machine is busy.
    const past = Date.now() - 61_000
    await path.metadata.transaction((t) =>
      t.updateTable('assets').set({ deleted_at: past }).where('deleted_at', 'is not', null).execute(),
    )
    await call(path, 'DELETE', `/assets/${kept.asset.id}`)
    await path.collector.sweep(never)
    expect(path.collector.stats).toMatchObject({ purged: 1, originalsRemoved: 1 })
    expect(await path.originals.size(parseDigest(gone.asset.hash))).toBeUndefined()
    expect(await call(path, 'POST', `/assets/${kept.asset.id}/restore`)).toBe(200)
  })

  it('removes bytes without a row once they are older than the grace, and no others', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    await using orphan = await path.originals.stage(once(Buffer.from('orphan')), 100, never)
    await orphan.publish()
    await path.collector.scan(never)
    expect(await path.originals.size(orphan.digest)).toBe(6)
    const past = Date.now() / 1000 - 61
    await utimes(join(path.folder, 'originals', orphan.digest.slice(0, 2), orphan.digest), past, past)
    await path.collector.scan(never)
    expect(await path.originals.size(orphan.digest)).toBeUndefined()
    expect(await path.originals.size(parseDigest(asset.hash))).toBeDefined()
    expect(path.collector.stats.orphansRemoved).toBe(1)
  })

  it('runs from start until it is disposed', async () => {
    await using path = await temporaryWritePath({ graceMs: 0 })
    path.collector.start()
    // As long as the test may take: on a loaded machine a sweep has waited for seconds.
    while (path.collector.stats.scans === 0 || path.collector.stats.sweeps === 0) await sleep(10)
    expect(path.collector.stats).toMatchObject({ sweeps: 1, scans: 1, faults: 0 })
  })
})
