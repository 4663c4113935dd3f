/** Idempotency keys: which asset an upload under a key made, and a fingerprint of what was asked. */
import { AppError } from '../core/errors.ts'
import type { AssetId, OwnerId } from '../core/ids.ts'
import type { Queries } from './database.ts'

/** A key is good for a day: long enough for any client's retries, short enough to stay a small table. */
export const IDEMPOTENCY_TTL_MS = 24 * 60 * 60 * 1000

export interface IdempotencyRecord {
  readonly ownerId: OwnerId
  readonly key: string
  readonly fingerprint: string
  readonly assetId: AssetId
  /** As the first answer said. */
  readonly deduplicated: boolean
}

export const findIdempotent = async (
  queries: Queries,
  ownerId: OwnerId,
  key: string,
  now: Date,
): Promise<IdempotencyRecord | undefined> => {
  const row = await queries
    .selectFrom('idempotency')
    .select(['fingerprint', 'asset_id', 'deduplicated'])
    .where('owner', '=', ownerId)
    .where('key', '=', key)
    .where('created_at', '>', now.getTime() - IDEMPOTENCY_TTL_MS)
    .executeTakeFirst()
  return (
    row && {
      ownerId,
      key,
      fingerprint: row.fingerprint,
      assetId: row.asset_id as AssetId,
      deduplicated: row.deduplicated === 1,
    }
  )
}

/**
 * The caller holds the key's lock and has found no valid record; an expired one is replaced. The first wins, also where the lock was lost.
 * @throws AppError `conflict` when a valid record of one of the keys is there by now.
 */
export const saveIdempotent = async (
  transaction: Queries,
  records: readonly IdempotencyRecord[],
  at: Date,
): Promise<void> => {
  if (records.length === 0) return
  const result = await transaction
    .insertInto('idempotency')
    .values(
      records.map((record) => ({
        owner: record.ownerId,
        key: record.key,
        fingerprint: record.fingerprint,
        asset_id: record.assetId,
        deduplicated: record.deduplicated ? 1 : 0,
        created_at: at.getTime(),
      })),
    )
    .onConflict((conflict) =>
      conflict
        .columns(['owner', 'key'])
        .doUpdateSet((excluded) => ({
          fingerprint: excluded.ref('excluded.fingerprint'),
          asset_id: excluded.ref('excluded.asset_id'),
          deduplicated: excluded.ref('excluded.deduplicated'),
          created_at: excluded.ref('excluded.created_at'),
        }))
        .where('idempotency.created_at', '<=', at.getTime() - IDEMPOTENCY_TTL_MS),
    )
    .executeTakeFirstOrThrow()
  if (result.numInsertedOrUpdatedRows !== BigInt(records.length))
    throw new AppError('conflict', 'another upload under this Idempotency-Key was first')
}

/** Drops what has expired; answers how many. */
export const dropExpiredIdempotency = async (transaction: Queries, now: Date): Promise<number> => {
  const result = await transaction
    .deleteFrom('idempotency')
    .where('created_at', '<=', now.getTime() - IDEMPOTENCY_TTL_MS)
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}
