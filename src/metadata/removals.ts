/**
 * Marks of bytes that are being removed or were. Leases keep uploads and removals of one hash apart, but a lease can be lost without its
 * holder knowing (a connection that died, a process that was frozen), and bytes are no part of a transaction. So a removal
 * leaves a mark in the transaction that takes the last row, and another when the bytes are gone; an upload notes the mark's version before
 * it looks for the bytes, and its transaction refuses if the version has moved or a removal is under way. Whatever happened to
 * the leases, no row is then committed for bytes that somebody has taken away or is about to.
 */
import { sql } from 'kysely'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'
import { prepareLookUp } from './prepared.ts'

/** A removal takes a second; one that is older was left by a process that died. Far above the time limits of any store's client. */
export const REMOVAL_LIMIT_MS = 5 * 60 * 1000
/** Marks are kept for longer than any upload can lie between its look and its commit. */
const KEPT_MS = 24 * 60 * 60 * 1000
const RETRY_SECONDS = 5

export interface SeenRemoval {
  readonly digest: Digest
  readonly version: number
}

/** A row of `removals`. */
interface Mark {
  readonly version: number
  readonly pending: number
}

/** The version to hold against `refuseIfRemoved` later; 0 where nothing was ever removed. @throws AppError `busy` while a removal is under way. */
export const toSeen = (digest: Digest, mark: Mark | undefined): SeenRemoval => {
  if (mark?.pending === 1)
    throw new AppError('busy', `the bytes of ${digest} are being removed`, { retryAfterSeconds: RETRY_SECONDS })
  return { digest, version: mark?.version ?? 0 }
}

const selectMarks = prepareLookUp((queries, digests: readonly Digest[]) =>
  queries.selectFrom('removals').select(['digest', 'version', 'pending']).where('digest', 'in', digests),
)

/** @throws AppError `conflict` if bytes of any of these digests were removed, or are being removed, since they were seen. */
export const refuseIfRemoved = async (transaction: Queries, seen: readonly SeenRemoval[]): Promise<void> => {
  const rows = await selectMarks(transaction, [...new Set(seen.map(({ digest }) => digest))])
  const now = new Map(rows.map((row) => [row.digest, row]))
  for (const { digest, version } of seen) {
    const mark = now.get(digest)
    if (mark?.pending === 1 || (mark?.version ?? 0) !== version)
      throw new AppError('conflict', `the bytes of ${digest} were removed meanwhile`)
  }
}

/**
 * In the transaction that has found no row to refer to the bytes. Answers the version for `endRemoval`; undefined while another removes
 * them, also one that has lost its lease: only what is older than the limit is taken over.
 */
export const beginRemoval = async (transaction: Queries, digest: Digest, at: Date): Promise<number | undefined> => {
  const row = await transaction
    .insertInto('removals')
    .values({ digest, version: 1, pending: 1, at: at.getTime() })
    .onConflict((conflict) =>
      conflict
        .column('digest')
        .doUpdateSet({ version: sql<number>`removals.version + 1`, pending: 1, at: at.getTime() })
        .where(({ or, eb }) =>
          or([eb('removals.pending', '=', 0), eb('removals.at', '<=', at.getTime() - REMOVAL_LIMIT_MS)]),
        ),
    )
    .returning('version')
    .executeTakeFirst()
  return row?.version
}

/** Where one process owns the rows: what is under way when it starts was left by one that is gone, and need not grow old. */
export const ageRemovals = async (transaction: Queries): Promise<void> => {
  await transaction.updateTable('removals').set({ at: 0 }).where('pending', '=', 1).execute()
}

/** The bytes are gone. Without effect if another has taken this removal over. */
export const endRemoval = async (transaction: Queries, digest: Digest, version: number, at: Date): Promise<void> => {
  await transaction
    .updateTable('removals')
    .set({ version: version + 1, pending: 0, at: at.getTime() })
    .where('digest', '=', digest)
    .where('version', '=', version)
    .execute()
}

/** Removals whose process is gone, oldest first: they are to be done again. */
export const findUnfinishedRemovals = async (
  queries: Queries,
  now: Date,
  limit: number,
): Promise<readonly Digest[]> => {
  const rows = await queries
    .selectFrom('removals')
    .select('digest')
    .where('pending', '=', 1)
    .where('at', '<=', now.getTime() - REMOVAL_LIMIT_MS)
    .orderBy('at')
    .limit(limit)
    .execute()
  return rows.map((row) => row.digest as Digest)
}

/** Drops marks that nobody can hold a version of any more; answers how many. */
export const dropOldRemovals = async (transaction: Queries, now: Date): Promise<number> => {
  const result = await transaction
    .deleteFrom('removals')
    .where('pending', '=', 0)
    .where('at', '<=', now.getTime() - KEPT_MS)
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}
