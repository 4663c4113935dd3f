/** What a device relies on, whatever keeps the rows: from any cursor, by pages of any size, it ends with exactly the server's state. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Asset } from '../../src/core/asset.ts'
import { type AssetId, type Digest, newAssetId, type OwnerId, parseDigest, parseOwnerId } from '../../src/core/ids.ts'
import { findAsset, insertAssets, purgeAsset, setDeletedAt, updateDetails } from '../../src/metadata/assets.ts'
import { cutChanges } from '../../src/metadata/changes.ts'
import type { Metadata } from '../../src/metadata/database.ts'
import { listAssets } from '../../src/metadata/listing.ts'
import { insertOriginals } from '../../src/metadata/originals.ts'
import { formatCursor, type Position, parseSince } from '../../src/sync/cursor.ts'
import { createFeed, type Feed, type ToldChange } from '../../src/sync/feed.ts'

export interface SyncRig extends AsyncDisposable {
  /** Two instances on the same rows: two processes, where the engine allows it, else one and the same. */
  readonly one: Metadata
  readonly two: Metadata
}

const alice = parseOwnerId('alice')
const bob = parseOwnerId('bob')
const DIGEST: Digest = parseDigest('ab'.repeat(32))
const FACTS: Asset['facts'] = {
  format: 'jpeg',
  width: 64,
  height: 48,
  orientation: 1,
  pages: 1,
  animated: false,
  hasAlpha: false,
  colourSpace: 'srgb',
  hasProfile: false,
}
/** Long past, so that what is cut by age is cut at will. */
const LONG_AGO = new Date('2020-01-01T00:00:00Z')

const newAsset = (ownerId: OwnerId): Asset => ({
  id: newAssetId(),
  ownerId,
  digest: DIGEST,
  bytes: 10,
  facts: FACTS,
  filename: null,
  title: null,
  description: null,
  visibility: 'public',
  tags: [],
  location: null,
  takenAt: null,
  createdAt: new Date(),
  updatedAt: new Date(),
  deletedAt: null,
})

export const addAsset = async (metadata: Metadata, ownerId: OwnerId): Promise<Asset> => {
  const asset = newAsset(ownerId)
  await metadata.transaction(async (t) => {
    await insertOriginals(t, [{ digest: DIGEST, bytes: 10, facts: FACTS, takenAt: null, location: null, camera: null }])
    await insertAssets(t, [asset])
  })
  return asset
}

const change = (metadata: Metadata, id: AssetId, n: number) =>
  metadata.transaction(async (t) => {
    const asset = await findAsset(t, id)
    if (asset && !asset.deletedAt)
      await updateDetails(
        t,
        asset,
        { ...asset, title: `title ${n}`, visibility: n % 2 ? 'private' : 'public' },
        new Date(),
      )
  })
const remove = (metadata: Metadata, id: AssetId, restore: boolean) =>
  metadata.transaction(async (t) => {
    const asset = await findAsset(t, id)
    if (asset && (asset.deletedAt !== null) === restore)
      await setDeletedAt(t, asset, restore ? null : new Date(), new Date())
  })
const purge = (metadata: Metadata, id: AssetId) =>
  metadata.transaction((t) => purgeAsset(t, id, new Date(Date.now() + 1000)))

/** What a client library does, no more. */
class Device {
  readonly held = new Map<AssetId, Asset>()
  position: Position = { kind: 'log', seq: 0 }
  readonly #feed: Feed
  readonly #ownerId: OwnerId
  constructor(feed: Feed, ownerId: OwnerId) {
    this.#feed = feed
    this.#ownerId = ownerId
  }
  async start(): Promise<void> {
    this.held.clear()
    this.position = await this.#feed.locate(this.#ownerId, { kind: 'start' })
  }
  async step(limit: number): Promise<{ readonly changes: readonly ToldChange[]; readonly hasMore: boolean }> {
    // As text and back: what it keeps between two calls.
    const position = parseSince(formatCursor(this.#ownerId, this.position), this.#ownerId) as Position
    const page = await this.#feed.page(this.#ownerId, position, limit)
    for (const { kind, assetId, asset } of page.changes) {
      if (kind === 'deleted') this.held.delete(assetId)
      else if (asset) this.held.set(assetId, asset)
    }
    this.position = page.next
    return page
  }
  async catchUp(limit: number): Promise<readonly ToldChange[]> {
    const heard: ToldChange[] = []
    for (;;) {
      const page = await this.step(limit).catch(async (error: { kind?: string }) => {
        if (error.kind !== 'gone') throw error
        await this.start()
        return { changes: [], hasMore: true }
      })
      heard.push(...page.changes)
      if (!page.hasMore) return heard
    }
  }
  copy(): Device {
    const copy = new Device(this.#feed, this.#ownerId)
    copy.position = this.position
    for (const [id, asset] of this.held) copy.held.set(id, asset)
    return copy
  }
}

const liveState = async ({ search }: Metadata, ownerId: OwnerId) =>
  new Map(
    (
      await listAssets(search, {
        ownerId,
        filter: { state: 'live' },
        sort: 'created_at',
        descending: false,
        limit: 1000,
      })
    ).map((asset) => [asset.id, asset]),
  )

const Op = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('add' as const), own: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constantFrom('change', 'delete', 'restore', 'purge'),
      at: fc.nat(),
      own: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('step' as const), device: fc.nat(), limit: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('fork' as const), device: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant({ op: 'age' as const }) },
)
type Op = typeof Op extends fc.Arbitrary<infer T> ? T : never

/** Plays a history against real rows, devices reading meanwhile; then all catch up. */
const play = async (rig: SyncRig, ops: readonly Op[], limit: number): Promise<void> => {
  const feeds = [createFeed(rig.one), createFeed(rig.two)] as const
  const ids: Record<string, AssetId[]> = { alice: [], bob: [] }
  const devices = [new Device(feeds[0], alice)]
  await devices[0]?.start()
  let n = 0
  for (const op of ops) {
    n += 1
    const metadata = n % 2 ? rig.one : rig.two
    if (op.op === 'add') {
      const ownerId = op.own ? alice : bob
      ids[ownerId]?.push((await addAsset(metadata, ownerId)).id)
    } else if (op.op === 'age') {
      // Everything so far becomes old, and is cut.
      await metadata.transaction((t) =>
        t
          .updateTable('changes')
          .set({ at: LONG_AGO.getTime() + n })
          .execute(),
      )
      await cutChanges(metadata, new Date())
    } else if (op.op === 'step' || op.op === 'fork') {
      const device = devices[op.device % devices.length]
      if (op.op === 'fork') {
        const fresh = new Device(feeds[op.device % 2] ?? feeds[0], alice)
        await fresh.start()
        devices.push(op.device % 3 === 0 ? fresh : (device ?? fresh).copy())
      } else
        await device?.step(op.limit).catch(async (error: { kind?: string }) => {
          if (error.kind !== 'gone') throw error
          await device.start()
        })
    } else {
      const mine = ids[op.own ? alice : bob] ?? []
      const id = mine[op.at % Math.max(mine.length, 1)]
      if (id === undefined) continue
      if (op.op === 'change') await change(metadata, id, n)
      else if (op.op === 'purge') await purge(metadata, id)
      else await remove(metadata, id, op.op === 'restore')
    }
  }
  const state = await liveState(rig.one, alice)
  for (const device of devices) {
    await device.catchUp(limit)
    expect(new Map([...device.held].sort())).toEqual(new Map([...state].sort()))
  }
}

export const syncContract = (name: string, open: () => Promise<SyncRig>, runs = 40): void => {
  describe(`sync contract: ${name}`, () => {
    it('leads a device from any cursor to exactly the server’s state', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(Op, { minLength: 1, maxLength: 60 }),
          fc.integer({ min: 1, max: 7 }),
          async (ops, limit) => {
            await using rig = await open()
            await play(rig, ops, limit)
          },
        ),
        { numRuns: runs },
      )
    })

    it('tells every change once and in order, whatever the pages, and nothing of another owner', async () => {
      await using rig = await open()
      const first = await addAsset(rig.one, alice)
      await addAsset(rig.two, bob)
      const second = await addAsset(rig.two, alice)
      for (const n of [1, 2, 3]) await change(rig.one, first.id, n)
      await remove(rig.one, second.id, false)
      await remove(rig.two, second.id, true)
      await remove(rig.two, first.id, false)
      await purge(rig.one, first.id)
      const expected = [
        ['added', first.id],
        ['added', second.id],
        ...[1, 2, 3].map(() => ['updated', first.id]),
        ['deleted', second.id],
        ['added', second.id],
        ['deleted', first.id],
      ]
      for (const limit of [1, 2, 3, 7, 8, 9, 100]) {
        const device = new Device(createFeed(rig.two), alice)
        const heard = await device.catchUp(limit)
        expect(heard.map(({ kind, assetId }) => [kind, assetId])).toEqual(expected)
        // What is gone has nothing to show, and every change is behind the cursor of the one before.
        expect(heard.map(({ asset }) => asset?.id)).toEqual(
          expected.map(([kind, id]) => (kind !== 'deleted' && id === second.id ? id : undefined)),
        )
        for (const [at, { position }] of heard.entries()) {
          const { changes } = await createFeed(rig.one).page(alice, position, 100)
          expect(changes.map(({ kind, assetId }) => [kind, assetId])).toEqual(expected.slice(at + 1))
        }
      }
    })

    it('misses nothing that is committed while it reads, by many at once', async () => {
      await using rig = await open()
      const device = new Device(createFeed(rig.two), alice)
      const heard: ToldChange[] = []
      let writing = true
      const writers = Promise.all(
        [rig.one, rig.two].map(async (metadata) => {
          for (let n = 0; n < 20; n++) await Promise.all([addAsset(metadata, alice), addAsset(metadata, alice)])
        }),
      ).then(() => (writing = false))
      while (writing) heard.push(...(await device.catchUp(5)))
      await writers
      heard.push(...(await device.catchUp(5)))
      const ids = heard.map(({ assetId }) => assetId)
      expect(ids.length).toBe(80)
      expect(new Set(ids).size).toBe(80)
    })

    it('starts at a time, with exactly what was made from then on', async () => {
      await using rig = await open()
      const feed = createFeed(rig.one)
      const assets: Asset[] = []
      for (let n = 0; n < 6; n++) {
        assets.push(await addAsset(rig.one, n === 3 ? bob : alice))
        const at = Date.now() - (6 - n) * 3_600_000
        await rig.one.transaction((t) =>
          t
            .updateTable('changes')
            .set({ at })
            .where('asset_id', '=', assets[n]?.id ?? '')
            .execute(),
        )
      }
      const since = async (hours: number) => {
        const at = new Date(Date.now() - hours * 3_600_000)
        const { changes } = await feed.page(alice, await feed.locate(alice, { kind: 'time', at }), 100)
        return changes.map(({ assetId }) => assets.findIndex(({ id }) => id === assetId))
      }
      expect(await since(100)).toEqual([0, 1, 2, 4, 5])
      expect(await since(4.5)).toEqual([2, 4, 5])
      expect(await since(1.5)).toEqual([5])
      expect(await since(-1)).toEqual([])
    })

    it('says that old changes are gone, and tells who starts again every live asset', async () => {
      await using rig = await open()
      const feed = createFeed(rig.one)
      const kept = await addAsset(rig.one, alice)
      const gone = await addAsset(rig.one, alice)
      await remove(rig.one, gone.id, false)
      const idle = await feed.page(bob, { kind: 'log', seq: 0 }, 10)
      await rig.one.transaction((t) => t.updateTable('changes').set({ at: LONG_AGO.getTime() }).execute())
      const later = await addAsset(rig.one, alice)
      expect(await cutChanges(rig.one, new Date(Date.now() - 3_600_000))).toBe(2)
      expect(await cutChanges(rig.one, new Date(Date.now() - 3_600_000))).toBe(0)

      await expect(feed.page(alice, { kind: 'log', seq: 0 }, 10)).rejects.toMatchObject({ kind: 'gone' })
      await expect(feed.locate(alice, { kind: 'time', at: LONG_AGO })).rejects.toMatchObject({ kind: 'gone' })
      // Nothing that this one has not heard was cut.
      expect(await feed.page(bob, idle.next, 10)).toMatchObject({ changes: [], hasMore: false })
      const device = new Device(feed, alice)
      const heard = await device.catchUp(1)
      expect(heard.map(({ assetId }) => assetId)).toEqual([kept.id, later.id])
      expect([...device.held.keys()]).toEqual([kept.id, later.id])
    })

    it('refuses a cursor that is ahead of the rows', async () => {
      await using rig = await open()
      await addAsset(rig.one, alice)
      const ahead = createFeed(rig.one).page(alice, { kind: 'log', seq: 99 }, 10)
      await expect(ahead).rejects.toMatchObject({ kind: 'gone', message: expect.stringContaining('since') })
    })
  })
}
