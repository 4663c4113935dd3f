/**
 * Bytes that nothing refers to any more and that are not removed yet: a second grace, so that a mistake can be undone. A row says so and the
 * bytes stay where they are, on whatever store: nothing is copied, whatever its size, and taking out of quarantine is one transaction.
 * A row that an upload of the same bytes has overtaken is stale, which is found out before anything is removed: uploads pay nothing for this.
 */
import type { Asset } from '../core/asset.ts'
import type { Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'
import type { OriginalRecord } from './originals.ts'

/** `purged`: its last asset was. `orphan`: bytes that no row knew. */
export type QuarantineReason = 'purged' | 'orphan'

/** What the rows were. */
export interface LastAsset {
  readonly asset: Asset
  readonly original: OriginalRecord
}

export interface Quarantined {
  readonly digest: Digest
  readonly reason: QuarantineReason
  /** Undefined for an orphan. */
  readonly last: LastAsset | undefined
  readonly at: Date
}

/** Where it is already, its time begins again. */
export const quarantine = async (transaction: Queries, { digest, reason, last, at }: Quarantined): Promise<void> => {
  const row = { reason, record: last ? JSON.stringify(last) : null, at: at.getTime() }
  await transaction
    .insertInto('quarantine')
    .values({ digest, ...row })
    .onConflict((conflict) => conflict.column('digest').doUpdateSet(row))
    .execute()
}

export const findQuarantined = async (queries: Queries, digest: Digest): Promise<Quarantined | undefined> => {
  const row = await queries.selectFrom('quarantine').selectAll().where('digest', '=', digest).executeTakeFirst()
  return row && toQuarantined(row)
}

export interface QuarantinePosition {
  readonly at: number
  readonly digest: string
}

/** Those put there at or before `before`, longest there first, after a position. */
export const pageQuarantine = async (
  queries: Queries,
  { before, after, limit }: { readonly before: Date; readonly after: QuarantinePosition; readonly limit: number },
): Promise<readonly Quarantined[]> => {
  const rows = await queries
    .selectFrom('quarantine')
    .selectAll()
    .where('at', '<=', before.getTime())
    .where(({ or, and, eb }) =>
      or([eb('at', '>', after.at), and([eb('at', '=', after.at), eb('digest', '>', after.digest)])]),
    )
    .orderBy('at')
    .orderBy('digest')
    .limit(limit)
    .execute()
  return rows.map(toQuarantined)
}

export const leaveQuarantine = async (transaction: Queries, digest: Digest): Promise<void> => {
  await transaction.deleteFrom('quarantine').where('digest', '=', digest).execute()
}

const toQuarantined = (row: {
  readonly digest: string
  readonly reason: string
  readonly record: string | null
  readonly at: number
}): Quarantined => ({
  digest: row.digest as Digest,
  reason: row.reason as QuarantineReason,
  last: row.record === null ? undefined : toLastAsset(row.record),
  at: new Date(row.at),
})

/** Our own JSON: only its times have to be made times again. */
const toLastAsset = (text: string): LastAsset => {
  const { asset, original } = JSON.parse(text) as LastAsset
  const { createdAt, updatedAt, deletedAt } = asset
  return {
    original,
    asset: {
      ...asset,
      createdAt: new Date(createdAt),
      updatedAt: new Date(updatedAt),
      deletedAt: deletedAt && new Date(deletedAt),
    },
  }
}
