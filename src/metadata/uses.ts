/** When originals were last read. Written once a day for each at most, and only where something depends on it (`lifecycle/cooling.ts`). */
import type { OriginalFault } from '../core/asset.ts'
import type { Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'

/** Of those that have a row and no use later than `unlessAfter`; answers how many. At most a few hundred at once: they are bound one by one. */
export const noteUses = async (
  transaction: Queries,
  digests: readonly Digest[],
  at: Date,
  unlessAfter: Date,
): Promise<number> => {
  if (digests.length === 0) return 0
  const { numUpdatedRows } = await transaction
    .updateTable('originals')
    .set({ used_at: at.getTime() })
    .where('digest', 'in', digests)
    .where(({ or, eb }) => or([eb('used_at', 'is', null), eb('used_at', '<=', unlessAfter.getTime())]))
    .executeTakeFirst()
  return Number(numUpdatedRows)
}

/** What is known of an original to whom decides where it is kept. */
export interface OriginalUse {
  readonly bytes: number
  readonly fault: OriginalFault | null
  /** When it was last read, or came. */
  readonly seenAt: Date
}

/** Of those that have a row. At most a few hundred at once, as above. */
export const findUses = async (
  queries: Queries,
  digests: readonly Digest[],
): Promise<ReadonlyMap<Digest, OriginalUse>> => {
  if (digests.length === 0) return new Map()
  const rows = await queries
    .selectFrom('originals')
    .select(['digest', 'bytes', 'fault', 'created_at', 'used_at'])
    .where('digest', 'in', digests)
    .execute()
  return new Map(
    rows.map(({ digest, bytes, fault, created_at, used_at }) => [
      digest as Digest,
      { bytes, fault: fault as OriginalFault | null, seenAt: new Date(Math.max(created_at, used_at ?? 0)) },
    ]),
  )
}
