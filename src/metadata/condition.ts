/** What is found out about stored bytes after they were stored: a scanner's verdict, and faults of the store. */
import type { OriginalCondition, OriginalFault, ScanState } from '../core/asset.ts'
import type { Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'
import { toCondition } from './rows.ts'

/** Undefined where there is no such original. */
export const findCondition = async (queries: Queries, digest: Digest): Promise<OriginalCondition | undefined> => {
  const row = await queries
    .selectFrom('originals')
    .select(['scan', 'fault'])
    .where('digest', '=', digest)
    .executeTakeFirst()
  return row && toCondition(row)
}

/** Answers whether there was such an original: its last asset may be gone. */
export const setScan = async (transaction: Queries, digest: Digest, scan: ScanState): Promise<boolean> => {
  const { numUpdatedRows } = await transaction
    .updateTable('originals')
    .set({ scan })
    .where('digest', '=', digest)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Null: its bytes are sound (again). */
export const setFault = async (transaction: Queries, digest: Digest, fault: OriginalFault | null): Promise<void> => {
  await transaction.updateTable('originals').set({ fault }).where('digest', '=', digest).execute()
}

/** A row as the walks over all of them see it. */
export interface OriginalRow {
  readonly digest: Digest
  readonly bytes: number
  readonly fault: OriginalFault | null
}

/** In the order of the digests, those after `after`. */
export const pageOriginals = async (
  queries: Queries,
  after: string,
  limit: number,
): Promise<readonly OriginalRow[]> => {
  const rows = await queries
    .selectFrom('originals')
    .select(['digest', 'bytes', 'fault'])
    .where('digest', '>', after)
    .orderBy('digest')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    digest: row.digest as Digest,
    bytes: row.bytes,
    fault: row.fault as OriginalFault | null,
  }))
}
