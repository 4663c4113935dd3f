/** What every Metadata must do, whatever keeps the rows: its transactions, and every query of `src/metadata`. */
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import type { Asset } from '../../src/core/asset.ts'
import { type Digest, newAssetId, parseDigest, parseOwnerId } from '../../src/core/ids.ts'
import { findKeyOwner, insertApiKey, listApiKeys, revokeApiKey } from '../../src/metadata/api-keys.ts'
import { seeArrival } from '../../src/metadata/arrivals.ts'
import {
  findAsset,
  findPastGrace,
  insertAssets,
  purgeAsset,
  setDeletedAt,
  updateDetails,
} from '../../src/metadata/assets.ts'
import type { Metadata, Queries } from '../../src/metadata/database.ts'
import { dropEdgePurge, dropOldEdgePurges, isPurgedAtEdges, noteEdgePurge } from '../../src/metadata/edge-purges.ts'
import {
  dropExpiredIdempotency,
  findIdempotent,
  IDEMPOTENCY_TTL_MS,
  saveIdempotent,
} from '../../src/metadata/idempotency.ts'
import { type ListingQuery, listAssets, SORT_FIELDS, sortValue } from '../../src/metadata/listing.ts'
import {
  countReferences,
  findOriginal,
  insertOriginals,
  removeOriginalIfUnreferenced,
  withoutRow,
} from '../../src/metadata/originals.ts'
import {
  beginRemoval,
  dropOldRemovals,
  endRemoval,
  findUnfinishedRemovals,
  refuseIfRemoved,
} from '../../src/metadata/removals.ts'
import { findDeliverySubject, findKnownContent } from '../../src/metadata/subjects.ts'
import { findUses, noteUses } from '../../src/metadata/uses.ts'

export interface MetadataRig extends AsyncDisposable {
  /** Two instances on the same rows: two processes, where the engine allows it, else one and the same. */
  readonly one: Metadata
  readonly two: Metadata
}

const alice = parseOwnerId('alice')
const seeRemoval = async (queries: Queries, digest: Digest) => (await seeArrival(queries, digest)).removal
const DAY_MS = 24 * 60 * 60 * 1000
export const digestOf = (n: number): Digest => parseDigest(n.toString(16).padStart(64, '0'))

export const original = (digest: Digest) => ({
  digest,
  bytes: 5_000_000_000_123,
  facts: {
    format: 'jpeg' as const,
    width: 64,
    height: 48,
    orientation: 6,
    pages: 1,
    animated: false,
    hasAlpha: true,
    colourSpace: 'srgb',
    hasProfile: false,
  },
  takenAt: '2026-01-02T03:04:05.000Z',
  location: { latitude: 52.12345678901234, longitude: -0.1 },
  camera: 'Läica M6 📷',
})

export const asset = (digest: Digest, more: Partial<Asset> = {}): Asset => ({
  id: newAssetId(),
  ownerId: alice,
  digest,
  bytes: 5_000_000_000_123,
  facts: original(digest).facts,
  filename: null,
  title: null,
  description: null,
  visibility: 'public',
  tags: [],
  location: null,
  takenAt: null,
  createdAt: new Date(1_760_000_000_123),
  updatedAt: new Date(1_760_000_000_456),
  deletedAt: null,
  ...more,
})

export const store = async (t: Queries, ...assets: readonly Asset[]): Promise<void> => {
  await insertOriginals(
    t,
    [...new Set(assets.map(({ digest }) => digest))].map((digest) => original(digest)),
  )
  await insertAssets(t, assets)
}

const key = (id: string, hash = id) => ({
  hash,
  key: { id, ownerId: alice, name: 'n', createdAt: new Date(1), revokedAt: null },
})
const addKey = (metadata: Metadata, id: string, hash = id) =>
  metadata.transaction((t) => insertApiKey(t, hash, key(id).key))

export const metadataContract = (name: string, open: () => Promise<MetadataRig>) =>
  describe(`Metadata contract: ${name}`, () => {
    it('shows a commit to every reader at once, and nothing of a transaction that failed', async () => {
      await using rig = await open()
      await addKey(rig.one, 'one')
      const failed = rig.one.transaction(async (t) => {
        await insertApiKey(t, 'two', key('two').key)
        throw new Error('changed my mind')
      })
      await expect(failed).rejects.toThrow('changed my mind')
      for (const reader of [rig.one.read, rig.one.search, rig.two.read, rig.two.search])
        expect(await reader.selectFrom('api_keys').select('id').execute()).toEqual([{ id: 'one' }])
    })

    it('runs transactions as if one after the other, however many processes send them', async () => {
      await using rig = await open()
      await addKey(rig.one, 'n')
      await Promise.all(
        Array.from({ length: 40 }, (_, at) =>
          (at % 2 ? rig.one : rig.two).transaction(async (t) => {
            const row = await t.selectFrom('api_keys').select('created_at').executeTakeFirstOrThrow()
            await t
              .updateTable('api_keys')
              .set({ created_at: row.created_at + 1 })
              .execute()
          }),
        ),
      )
      expect((await listApiKeys(rig.two.read))[0]?.createdAt.getTime()).toBe(41)
    })

    it('lets no two transactions act on what the other is changing (write skew)', async () => {
      await using rig = await open()
      const digest = digestOf(1)
      const [a, b] = [asset(digest, { deletedAt: null }), asset(digest)]
      await rig.one.transaction((t) => store(t, a, b))
      for (const one of [a, b]) await rig.one.transaction((t) => setDeletedAt(t, one, new Date(10), new Date(10)))
      const purge = (metadata: Metadata, of: Asset) =>
        metadata.transaction(async (t) => {
          await purgeAsset(t, of.id, new Date(20))
          return removeOriginalIfUnreferenced(t, digest)
        })
      const removed = await Promise.all([purge(rig.one, a), purge(rig.two, b)])
      expect(removed.sort()).toEqual([false, true])
      expect(await findOriginal(rig.one.read, digest)).toBeUndefined()
    })

    it('refuses an asset without its original, what a key already names, and a reader that writes', async () => {
      await using rig = await open()
      await expect(rig.one.transaction((t) => insertAssets(t, [asset(digestOf(1))]))).rejects.toMatchObject({
        kind: 'internal',
      })
      await addKey(rig.one, 'x')
      await expect(addKey(rig.one, 'x')).rejects.toMatchObject({ kind: 'internal' })
      for (const reader of [rig.one.read, rig.one.search])
        await expect(insertApiKey(reader, 'y', key('y').key)).rejects.toThrow()
      await addKey(rig.one, 'y')
      expect(await listApiKeys(rig.one.read)).toHaveLength(2)
    })

    it('gives back what was stored: numbers as numbers, exact, and every kind of text', async () => {
      await using rig = await open()
      const stored = asset(digestOf(1), {
        filename: `it's "50%" _under_ \\ 日本 📷.jpg`,
        description: 'two\nlines',
        tags: ['a b', 'ü'],
        location: { latitude: -89.999999999999, longitude: 179.1 },
        takenAt: '2026-01-02T03:04:05.000Z',
      })
      await rig.one.transaction((t) => store(t, stored))
      const condition = { scan: 'none', fault: null }
      expect(await findAsset(rig.two.read, stored.id)).toEqual({ ...stored, condition })
      const known = { ...original(stored.digest), condition }
      expect(await findOriginal(rig.two.read, stored.digest)).toEqual(known)
      const removal = (digest: Digest) => ({ digest, version: 0 })
      expect(await seeArrival(rig.two.read, stored.digest)).toEqual({ removal: removal(stored.digest), known })
      const other = { removal: removal(digestOf(2)), known: undefined }
      expect(await seeArrival(rig.two.read, digestOf(2))).toEqual(other)
      expect(await findAsset(rig.one.read, newAssetId())).toBeUndefined()
      const changes = await rig.one.read.selectFrom('changes').selectAll().execute()
      expect(changes).toMatchObject([{ seq: 1, owner: alice, asset_id: stored.id, kind: 'added' }])
      expect(typeof changes[0]?.at).toBe('number')
    })

    it('adds a batch of as many assets as one commit has', async () => {
      await using rig = await open()
      const many = Array.from({ length: 64 }, (_, n) => asset(digestOf(n % 10)))
      await rig.one.transaction((t) => store(t, ...many))
      expect(await countReferences(rig.two.read, digestOf(3))).toBe(7)
      expect(await withoutRow(rig.two.read, [digestOf(1), digestOf(99)])).toEqual([digestOf(99)])
      expect(await withoutRow(rig.two.read, [])).toEqual([])
    })

    it('changes, deletes, restores and purges, each with its change row', async () => {
      await using rig = await open()
      const one = asset(digestOf(1))
      await rig.one.transaction((t) => store(t, one))
      await rig.one.transaction((t) => updateDetails(t, one, { ...one, title: 'T' }, new Date(2)))
      await rig.one.transaction((t) => setDeletedAt(t, one, new Date(3), new Date(3)))
      expect(await findAsset(rig.two.read, one.id)).toMatchObject({ title: 'T', deletedAt: new Date(3) })
      expect(await findPastGrace(rig.two.search, new Date(2), 10)).toEqual([])
      expect(await findPastGrace(rig.two.search, new Date(3), 10)).toEqual([{ id: one.id, digest: one.digest }])
      expect(await rig.one.transaction((t) => purgeAsset(t, one.id, new Date(2)))).toBe(false)
      expect(await rig.one.transaction((t) => removeOriginalIfUnreferenced(t, one.digest))).toBe(false)
      await rig.one.transaction((t) => setDeletedAt(t, one, null, new Date(4)))
      await rig.one.transaction((t) => setDeletedAt(t, one, new Date(5), new Date(5)))
      expect(await rig.one.transaction((t) => purgeAsset(t, one.id, new Date(5)))).toBe(true)
      const kinds = await rig.two.read.selectFrom('changes').select(['seq', 'kind']).orderBy('seq').execute()
      expect(kinds.map(({ kind }) => kind)).toEqual(['added', 'updated', 'deleted', 'added', 'deleted'])
    })

    it('says who may see a hash, and who has it', async () => {
      await using rig = await open()
      const digest = digestOf(1)
      const mine = asset(digest, { visibility: 'private' })
      expect(await findDeliverySubject(rig.one.read, digest)).toBeUndefined()
      await rig.one.transaction((t) => store(t, mine))
      expect(await findDeliverySubject(rig.two.read, digest)).toMatchObject({ access: 'private', wasPublic: false })
      const bobs = asset(digest, { ownerId: parseOwnerId('bob') })
      await rig.one.transaction((t) => insertAssets(t, [bobs]))
      const subject = await findDeliverySubject(rig.two.read, digest)
      expect(subject).toMatchObject({ access: 'public', ownerId: 'bob', bytes: 5_000_000_000_123 })
      expect(await findKnownContent(rig.two.read, digest, alice)).toEqual({
        bytes: subject?.bytes,
        sound: true,
        assetId: mine.id,
      })
      expect(await findKnownContent(rig.two.read, digest, parseOwnerId('carol'))).toMatchObject({ assetId: undefined })
      await rig.one.transaction((t) => setDeletedAt(t, bobs, new Date(3), new Date(3)))
      expect(await findDeliverySubject(rig.two.read, digest)).toMatchObject({ access: 'private', wasPublic: true })
    })

    it.for(SORT_FIELDS)('pages by %s in both directions, each asset once, in the order of bytes', async (sort) => {
      await using rig = await open()
      const names = [null, '', 'a', 'B', 'b', 'a b', 'ä', '日本', '_', '%', 'Z', 'é', 'e\u0301', 'A']
      const assets = names.map((filename, n) =>
        asset(digestOf(n % 3), { filename, bytes: n % 4, createdAt: new Date(n % 5), updatedAt: new Date(n % 6) }),
      )
      await rig.one.transaction((t) => store(t, ...assets))
      const bytes = (text: string | number) => (typeof text === 'number' ? text : Buffer.from(text).toString('latin1'))
      const byValue = (a: Asset, b: Asset) => {
        const [x, y] = [bytes(sortValue(a, sort)), bytes(sortValue(b, sort))]
        return x < y || (x === y && a.id < b.id) ? -1 : 1
      }
      for (const descending of [false, true]) {
        const query: ListingQuery = { ownerId: alice, filter: { state: 'live' }, sort, descending, limit: 4 }
        const seen: Asset[] = []
        for (let page: readonly Asset[] | undefined; !page || page.length === 4; ) {
          const last = seen.at(-1)
          const after = last && { value: sortValue(last, sort), id: last.id }
          page = await listAssets(rig.two.search, { ...query, after })
          seen.push(...page)
        }
        const order = [...assets].sort(byValue).map(({ id }) => id)
        expect(seen.map(({ id }) => id)).toEqual(descending ? order.reverse() : order)
      }
    })

    it.for([
      ['visibility', { visibility: 'private' }, ['b']],
      ['format', { format: 'png' }, []],
      ['tag', { tag: 'cat' }, ['a']],
      ['hash', { digest: digestOf(2) }, ['b']],
      ['time', { createdAfter: new Date(1), createdBefore: new Date(3) }, ['b']],
      ['name, whatever its case', { filenamePart: 'HOLI' }, ['a']],
      ['name with a wildcard in it', { filenamePart: '0%_' }, ['b']],
      ['name with a backslash', { filenamePart: '\\' }, []],
      ['all', {}, ['a', 'b']],
    ] as const)('finds by %s', async ([, filter, expected]) => {
      await using rig = await open()
      const one = asset(digestOf(1), {
        title: 'a',
        filename: 'Holiday.jpg',
        tags: ['cat', 'x'],
        createdAt: new Date(1),
      })
      const two = asset(digestOf(2), {
        title: 'b',
        filename: '50%_off.jpg',
        tags: ['catalogue'],
        createdAt: new Date(2),
        visibility: 'private',
      })
      const gone = asset(digestOf(1), { title: 'c' })
      await rig.one.transaction((t) => store(t, one, two, gone))
      await rig.one.transaction((t) => setDeletedAt(t, gone, new Date(9), new Date(9)))
      const query = { ownerId: alice, sort: 'created_at', descending: false, limit: 10 } as const
      const found = await listAssets(rig.two.search, { ...query, filter: { state: 'live', ...filter } })
      expect(found.map(({ title }) => title)).toEqual(expected)
      const deleted = await listAssets(rig.two.search, { ...query, filter: { state: 'deleted' } })
      expect(deleted.map(({ title }) => title)).toEqual(['c'])
    })

    it('finds the owner of a key until it is revoked, and lists keys newest first', async () => {
      await using rig = await open()
      await addKey(rig.one, 'k1', 'h1')
      await rig.one.transaction((t) => insertApiKey(t, 'h2', { ...key('k2').key, createdAt: new Date(2) }))
      expect(await findKeyOwner(rig.two.read, 'h1')).toBe(alice)
      for (const at of [5, 6]) expect(await rig.one.transaction((t) => revokeApiKey(t, 'k1', new Date(at)))).toBe(true)
      expect(await findKeyOwner(rig.two.read, 'h1')).toBeUndefined()
      expect(await rig.one.transaction((t) => revokeApiKey(t, 'none', new Date(5)))).toBe(false)
      const keys = await listApiKeys(rig.two.search)
      expect(keys.map(({ id, revokedAt }) => [id, revokedAt?.getTime()])).toEqual([
        ['k2', undefined],
        ['k1', 5],
      ])
    })

    it('keeps the first record of an idempotency key, for a day', async () => {
      await using rig = await open()
      const now = new Date(100 * DAY_MS)
      const record = (fingerprint: string) => ({
        ownerId: alice,
        key: 'k',
        fingerprint,
        assetId: newAssetId(),
        deduplicated: true,
      })
      const save = (metadata: Metadata, fingerprint: string, at: Date) =>
        metadata.transaction((t) => saveIdempotent(t, [record(fingerprint), { ...record('x'), key: fingerprint }], at))
      const results = await Promise.allSettled(
        ['a', 'b', 'c', 'd'].map((fingerprint, at) => save(at % 2 ? rig.one : rig.two, fingerprint, now)),
      )
      const won = results.flatMap(({ status }, at) => (status === 'fulfilled' ? 'abcd'[at] : []))
      expect(won).toHaveLength(1)
      for (const result of results)
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ kind: 'conflict' })
      const found = await findIdempotent(rig.one.read, alice, 'k', now)
      expect(found).toMatchObject({ fingerprint: won[0], deduplicated: true })
      const later = new Date(now.getTime() + IDEMPOTENCY_TTL_MS)
      expect(await findIdempotent(rig.one.read, alice, 'k', later)).toBeUndefined()
      await save(rig.two, 'later', later)
      expect(await findIdempotent(rig.one.read, alice, 'k', later)).toMatchObject({ fingerprint: 'later' })
      expect(await rig.one.transaction((t) => dropExpiredIdempotency(t, later))).toBe(1)
    })

    it('remembers what edges were told to forget, also without an original', async () => {
      await using rig = await open()
      const digest = digestOf(8)
      expect(await isPurgedAtEdges(rig.one.read, digest)).toBe(false)
      for (const at of [1, 2]) await rig.one.transaction((t) => noteEdgePurge(t, digest, new Date(at)))
      expect(await isPurgedAtEdges(rig.two.read, digest)).toBe(true)
      await rig.two.transaction((t) => dropEdgePurge(t, digest))
      expect(await isPurgedAtEdges(rig.one.read, digest)).toBe(false)
    })

    it('forgets what edges were told to forget when none can remember it, counted from the last time', async () => {
      await using rig = await open()
      const now = new Date(40 * DAY_MS)
      const note = (seed: number, day: number) =>
        rig.one.transaction((t) => noteEdgePurge(t, digestOf(seed), new Date(day * DAY_MS)))
      for (const [seed, day] of [
        [1, 1],
        [2, 1],
        [3, 7],
        [2, 39],
      ] as const)
        await note(seed, day)
      expect(await rig.two.transaction((t) => dropOldEdgePurges(t, now))).toBe(2)
      expect(await rig.two.transaction((t) => dropOldEdgePurges(t, now))).toBe(0)
      const left = await Promise.all([1, 2, 3].map((seed) => isPurgedAtEdges(rig.one.read, digestOf(seed))))
      expect(left).toEqual([false, true, false])
    })

    it('refuses rows for bytes that were or are being removed since they were seen', async () => {
      await using rig = await open()
      const digest = digestOf(7)
      const before = await seeRemoval(rig.two.read, digest)
      const refuse = (seen: typeof before) => rig.two.transaction((t) => refuseIfRemoved(t, [seen, seen]))
      await refuse(before)
      const version = await rig.one.transaction((t) => beginRemoval(t, digest, new Date(1)))
      await expect(seeRemoval(rig.two.read, digest)).rejects.toMatchObject({ kind: 'busy' })
      await expect(refuse(before)).rejects.toMatchObject({ kind: 'conflict' })
      const now = new Date(DAY_MS)
      expect(await findUnfinishedRemovals(rig.two.search, new Date(2), 10)).toEqual([])
      expect(await findUnfinishedRemovals(rig.two.search, now, 10)).toEqual([digest])
      expect(await rig.two.transaction((t) => beginRemoval(t, digest, new Date(2)))).toBeUndefined()
      // When it is old another takes it over; the first, late, ends nothing.
      const taken = await rig.two.transaction((t) => beginRemoval(t, digest, now))
      await rig.one.transaction((t) => endRemoval(t, digest, version ?? 0, now))
      await expect(seeRemoval(rig.two.read, digest)).rejects.toMatchObject({ kind: 'busy' })
      await rig.two.transaction((t) => endRemoval(t, digest, taken ?? 0, now))
      await expect(refuse(before)).rejects.toMatchObject({ kind: 'conflict' })
      await refuse(await seeRemoval(rig.two.read, digest))
      expect(await rig.one.transaction((t) => dropOldRemovals(t, now))).toBe(0)
      expect(await rig.one.transaction((t) => dropOldRemovals(t, new Date(3 * DAY_MS)))).toBe(1)
    })

    it('notes when an original was last read, once a day, and knows of none without a row', async () => {
      await using rig = await open()
      const [read, unread, unknown] = [digestOf(1), digestOf(2), digestOf(3)]
      await rig.one.transaction((t) => store(t, asset(read), asset(unread)))
      const note = (at: number) =>
        rig.two.transaction((t) => noteUses(t, [read, unknown], new Date(at), new Date(at - DAY_MS)))
      const now = Date.now() + DAY_MS
      expect(await note(now)).toBe(1)
      expect(await note(now + DAY_MS - 1)).toBe(0)
      expect((await findUses(rig.one.read, [read])).get(read)?.seenAt).toEqual(new Date(now))
      expect(await note(now + DAY_MS)).toBe(1)
      expect(await rig.one.transaction((t) => noteUses(t, [], new Date(now), new Date(now)))).toBe(0)
      const uses = await findUses(rig.one.search, [read, unread, unknown])
      expect(uses.size).toBe(2)
      expect(uses.get(read)).toEqual({ bytes: 5_000_000_000_123, fault: null, seenAt: new Date(now + DAY_MS) })
      expect(Math.abs((uses.get(unread)?.seenAt.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
      expect((await findUses(rig.one.read, [])).size).toBe(0)
    })

    it('lets an upload or a removal of the same bytes commit, never both', async () => {
      await using rig = await open()
      await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
          const digest = digestOf(n)
          const seen = await seeRemoval(rig.one.read, digest)
          const upload = rig.one.transaction(async (t) => {
            await refuseIfRemoved(t, [seen])
            await store(t, asset(digest))
          })
          const removal = rig.two.transaction(async (t) => {
            const found = await findOriginal(t, digest)
            return found ? undefined : beginRemoval(t, digest, new Date())
          })
          const [stored, begun] = await Promise.allSettled([upload, removal])
          expect(begun.status).toBe('fulfilled')
          const removing = begun.status === 'fulfilled' && begun.value !== undefined
          expect(removing).toBe(stored.status === 'rejected')
        }),
      )
    })

    it('gives a reader every change in the order of its number: what it has seen no smaller one follows', async () => {
      await using rig = await open()
      let done = false
      const writers = Promise.all(
        Array.from({ length: 6 }, async (_, writer) => {
          for (let n = 0; n < 15; n++) {
            const mine = Array.from({ length: 1 + (n % 3) }, () => asset(digestOf(writer * 100 + n)))
            await (writer % 2 ? rig.one : rig.two).transaction(async (t) => {
              await store(t, ...mine)
              // What a slow commit does: others that came later would be visible first.
              if (rig.one !== rig.two && n % 4 === writer % 4) await sql`select pg_sleep(0.003)`.execute(t)
            })
          }
        }),
      ).finally(() => {
        done = true
      })
      const followed: number[] = []
      for (let last = false; !last; ) {
        last = done
        const rows = await rig.one.read
          .selectFrom('changes')
          .select('seq')
          .where('seq', '>', followed.at(-1) ?? 0)
          .orderBy('seq')
          .execute()
        followed.push(...rows.map(({ seq }) => seq))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await writers
      const all = await rig.one.read.selectFrom('changes').select('seq').orderBy('seq').execute()
      expect(followed).toEqual(all.map(({ seq }) => seq))
      expect(all).toHaveLength(6 * 30)
    })
  })
