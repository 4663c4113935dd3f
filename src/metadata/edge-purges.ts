/**
 * Hashes that edges were told to forget, and not yet told to keep again. It outlives originals and processes, as what the edges
 * remember does: bytes that come back after their hash was removed are shown by whichever origin they are sent to.
 */
import { EDGE_MARK_MS } from '../core/edge-mark.ts'
import type { Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'
import { prepareQuery } from './prepared.ts'

/** Of one transaction. With a sweep a minute that is 14 million a day. */
const DROPPED_AT_ONCE = 10_000

const selectPurge = prepareQuery((queries, { digest }: { readonly digest: Digest }) =>
  queries.selectFrom('edge_purges').select('at').where('digest', '=', digest),
)

/** One look-up by primary key. */
export const isPurgedAtEdges = async (queries: Queries, digest: Digest): Promise<boolean> =>
  (await selectPurge(queries, { digest })).length > 0

/** Again is no error, and counts from then on. */
export const noteEdgePurge = async (transaction: Queries, digest: Digest, at: Date): Promise<void> => {
  await transaction
    .insertInto('edge_purges')
    .values({ digest, at: at.getTime() })
    .onConflict((conflict) => conflict.column('digest').doUpdateSet({ at: at.getTime() }))
    .execute()
}

/** Every edge keeps the hash again. */
export const dropEdgePurge = async (transaction: Queries, digest: Digest): Promise<void> => {
  await transaction.deleteFrom('edge_purges').where('digest', '=', digest).execute()
}

/** Forgets the oldest of what no edge can remember any more; answers how many. */
export const dropOldEdgePurges = async (transaction: Queries, now: Date): Promise<number> => {
  const old = transaction
    .selectFrom('edge_purges')
    .select('digest')
    .where('at', '<=', now.getTime() - EDGE_MARK_MS)
    .orderBy('at')
    .limit(DROPPED_AT_ONCE)
  const result = await transaction.deleteFrom('edge_purges').where('digest', 'in', old).executeTakeFirst()
  return Number(result.numDeletedRows)
}

/** Drops the parked jobs (`outbox.ts`) of purges that no edge has a use for any more; answers how many. One range of an index. */
export const dropOldEdgeJobs = async (transaction: Queries, now: Date): Promise<number> => {
  const result = await transaction
    .deleteFrom('outbox')
    .where('kind', '=', 'purge-edge')
    .where('parked', '=', 1)
    .where('due_at', '<=', now.getTime() - EDGE_MARK_MS)
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}
