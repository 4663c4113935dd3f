/** Rows of assets: added in batches, read by id, changed and ended one by one; every change leaves a row for sync. */
import type { Asset, AssetDetails } from '../core/asset.ts'
import type { AssetId, Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'
import { prepareInsert } from './prepared.ts'
import { CONDITION_COLUMNS, detailColumns, FACT_COLUMNS, toAsset } from './rows.ts'

export type ChangeKind = 'added' | 'updated' | 'deleted'

const rowOf = (asset: Asset) => ({
  ...detailColumns(asset),
  id: asset.id,
  owner: asset.ownerId,
  digest: asset.digest,
  bytes: asset.bytes,
  format: asset.facts.format,
  created_at: asset.createdAt.getTime(),
  updated_at: asset.updatedAt.getTime(),
  deleted_at: null,
})

const insertLive = prepareInsert((queries, rows: readonly ReturnType<typeof rowOf>[]) =>
  queries.insertInto('assets').values([...rows]),
)

/** Adds live assets whose originals have rows, and one `added` change for each. */
export const insertAssets = async (transaction: Queries, assets: readonly Asset[]): Promise<void> => {
  await insertLive(transaction, assets.map(rowOf))
  await appendChanges(transaction, assets, 'added', new Date())
}

/** The asset in whatever state; undefined once it has been purged. */
export const findAsset = async (queries: Queries, id: AssetId): Promise<Asset | undefined> => {
  const row = await joined(queries).where('assets.id', '=', id).executeTakeFirst()
  return row && toAsset(row)
}

/** Assets with the facts and the condition of their originals; the base of every query that answers assets. */
export const joined = (queries: Queries) =>
  queries
    .selectFrom('assets')
    .innerJoin('originals', 'originals.digest', 'assets.digest')
    .selectAll('assets')
    .select([...FACT_COLUMNS, ...CONDITION_COLUMNS])

/** Writes new details. The caller has read the asset in the same transaction. */
export const updateDetails = async (
  transaction: Queries,
  asset: Pick<Asset, 'id' | 'ownerId'>,
  details: AssetDetails,
  at: Date,
): Promise<void> => {
  await transaction
    .updateTable('assets')
    .set({ ...detailColumns(details), updated_at: at.getTime() })
    .where('id', '=', asset.id)
    .execute()
  await appendChanges(transaction, [asset], 'updated', at)
}

/** Live → deleted (`deletedAt` set), or deleted → live (null): to the caller's devices a deletion, or an addition. */
export const setDeletedAt = async (
  transaction: Queries,
  asset: Pick<Asset, 'id' | 'ownerId'>,
  deletedAt: Date | null,
  at: Date,
): Promise<void> => {
  await transaction
    .updateTable('assets')
    .set({ deleted_at: deletedAt?.getTime() ?? null, updated_at: at.getTime() })
    .where('id', '=', asset.id)
    .execute()
  await appendChanges(transaction, [asset], deletedAt ? 'deleted' : 'added', at)
}

/** Removes the row if it was deleted at or before `deletedBefore`; answers whether it did. No change row: the deletion was one. */
export const purgeAsset = async (transaction: Queries, id: AssetId, deletedBefore: Date): Promise<boolean> => {
  const result = await transaction
    .deleteFrom('assets')
    .where('id', '=', id)
    .where('deleted_at', 'is not', null)
    .where('deleted_at', '<=', deletedBefore.getTime())
    .executeTakeFirst()
  return result.numDeletedRows > 0n
}

/** Assets whose grace has passed, longest deleted first. */
export const findPastGrace = async (
  queries: Queries,
  deletedBefore: Date,
  limit: number,
): Promise<readonly { readonly id: AssetId; readonly digest: Digest }[]> => {
  const rows = await queries
    .selectFrom('assets')
    .select(['id', 'digest'])
    .where('deleted_at', 'is not', null)
    .where('deleted_at', '<=', deletedBefore.getTime())
    .orderBy('deleted_at')
    .limit(limit)
    .execute()
  return rows.map((row) => ({ id: row.id as AssetId, digest: row.digest as Digest }))
}

const insertChanges = prepareInsert(
  (queries, rows: readonly { owner: string; asset_id: string; kind: ChangeKind; at: number }[]) =>
    queries.insertInto('changes').values([...rows]),
)

const appendChanges = (
  transaction: Queries,
  assets: readonly Pick<Asset, 'id' | 'ownerId'>[],
  kind: ChangeKind,
  at: Date,
): Promise<void> =>
  insertChanges(
    transaction,
    assets.map(({ id, ownerId }) => ({ owner: ownerId, asset_id: id, kind, at: at.getTime() })),
  )
