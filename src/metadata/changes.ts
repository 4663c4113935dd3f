/**
 * Rows of changes, read as a log: in the order of their numbers, from a number or from a time on, and cut off at the old end.
 *
 * What was cut is marked by a row of no owner: the last one that went. Everything behind it is whole.
 */
import type { Asset } from '../core/asset.ts'
import type { AssetId, OwnerId } from '../core/ids.ts'
import { type ChangeKind, joined } from './assets.ts'
import type { Metadata, Queries } from './database.ts'
import { toAsset } from './rows.ts'

export interface Change {
  /** Larger than that of every change that could be read before. */
  readonly seq: number
  readonly assetId: AssetId
  readonly kind: ChangeKind
  readonly at: Date
}

/** No owner has this id (`core/ids.ts`). */
const NOBODY = ''

/**
 * A change is stamped by the clock of its process and numbered at its commit: two changes this far apart in time have their
 * numbers in the same order. A minute is a clock without NTP, or a transaction that waited as long as it may.
 */
const SKEW_MS = 60_000

/** Rows of one transaction: some 20 ms of the writer. */
const CUT_AT_ONCE = 5_000

/** The newest change of all, 0 where there never was one. What is read after it sees every change up to it. */
export const readHead = async (queries: Queries): Promise<number> => {
  const row = await queries.selectFrom('changes').select('seq').orderBy('seq', 'desc').limit(1).executeTakeFirst()
  return row?.seq ?? 0
}

/** Up to where changes are gone, and when the last of them was made; undefined while none is. */
export const readFloor = async (queries: Queries): Promise<{ readonly seq: number; readonly at: Date } | undefined> => {
  const row = await queries
    .selectFrom('changes')
    .select(['seq', 'at'])
    .where('owner', '=', NOBODY)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && { seq: row.seq, at: new Date(row.at) }
}

/** An owner's changes after one number, up to another, in order. */
export const readChanges = async (
  queries: Queries,
  ownerId: OwnerId,
  { after, upTo, limit }: { readonly after: number; readonly upTo: number; readonly limit: number },
): Promise<readonly Change[]> => {
  const rows = await queries
    .selectFrom('changes')
    .select(['seq', 'asset_id', 'kind', 'at'])
    .where('owner', '=', ownerId)
    .where('seq', '>', after)
    .where('seq', '<=', upTo)
    .orderBy('seq')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    seq: row.seq,
    assetId: row.asset_id as AssetId,
    kind: row.kind as ChangeKind,
    at: new Date(row.at),
  }))
}

/** Those of the assets that are live now. */
export const findLiveAssets = async (
  queries: Queries,
  ids: readonly AssetId[],
): Promise<ReadonlyMap<AssetId, Asset>> => {
  if (ids.length === 0) return new Map()
  const rows = await joined(queries)
    .where('assets.id', 'in', [...ids])
    .where('assets.deleted_at', 'is', null)
    .execute()
  return new Map(rows.map(toAsset).map((asset) => [asset.id, asset]))
}

/** Whose changes came after a number, whoever made them: at most `limit` changes, in order. */
export const readOwnersOfChanges = async (
  queries: Queries,
  after: number,
  limit: number,
): Promise<readonly { readonly seq: number; readonly ownerId: OwnerId }[]> => {
  const rows = await queries
    .selectFrom('changes')
    .select(['seq', 'owner'])
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute()
  return rows.map((row) => ({ seq: row.seq, ownerId: row.owner as OwnerId }))
}

/**
 * The number behind which are all of the owner's changes made at `since` or later; undefined where some of those are gone.
 * Without an index by time, which every upload would pay for: numbers grow with time but for the skew, so some 20 look-ups find the place.
 */
export const findChangesSince = async (
  queries: Queries,
  ownerId: OwnerId,
  since: Date,
): Promise<number | undefined> => {
  const floor = await readFloor(queries)
  if (floor && since.getTime() < floor.at.getTime() + SKEW_MS) return undefined
  const head = await readHead(queries)
  const first = await queries
    .selectFrom('changes')
    .select('seq')
    .where('owner', '=', ownerId)
    .where('seq', '>', await lastBefore(queries, since.getTime() - SKEW_MS))
    .where('at', '>=', since.getTime())
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst()
  return first ? first.seq - 1 : head
}

/** Removes changes made before `before`, in steps; answers how many. The newest of them stays as the mark. */
export const cutChanges = async ({ search, transaction }: Metadata, before: Date): Promise<number> => {
  const last = await lastBefore(search, before.getTime() - SKEW_MS)
  for (let cut = 0; ; ) {
    const step = await transaction(async (queries) => {
      const rows = await queries
        .selectFrom('changes')
        .select('seq')
        .where('seq', '<=', last)
        .orderBy('seq')
        .limit(CUT_AT_ONCE)
        .execute()
      const mark = rows.at(-1)
      // One is the mark of the last time.
      if (!mark || rows.length < 2) return 0
      await queries.updateTable('changes').set({ owner: NOBODY }).where('seq', '=', mark.seq).execute()
      await queries.deleteFrom('changes').where('seq', '<', mark.seq).execute()
      return rows.length - 1
    })
    cut += step
    if (step < CUT_AT_ONCE - 1) return cut
  }
}

/** A number with no change after `atMs` at or below it, but for the skew: the largest that halving finds. */
const lastBefore = async (queries: Queries, atMs: number): Promise<number> => {
  const oldest = await queries.selectFrom('changes').select('seq').orderBy('seq').limit(1).executeTakeFirst()
  let low = (oldest?.seq ?? 1) - 1
  let high = await readHead(queries)
  while (low < high) {
    const middle = Math.floor((low + high + 1) / 2)
    const row = await queries
      .selectFrom('changes')
      .select(['seq', 'at'])
      .where('seq', '>', low)
      .where('seq', '<=', middle)
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (!row || row.at < atMs) low = middle
    else high = row.seq - 1
  }
  return low
}
