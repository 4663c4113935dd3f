/**
 * Hashes that edges were told to forget, and not yet told to keep again. It outlives originals and processes, as what the edges
 * remember does: bytes that come back after their hash was removed are shown by whichever origin they are sent to.
 */
import type { Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'
import { prepareQuery } from './prepared.ts'

const selectPurge = prepareQuery((queries, { digest }: { readonly digest: Digest }) =>
  queries.selectFrom('edge_purges').select('at').where('digest', '=', digest),
)

/** One look-up by primary key. */
export const isPurgedAtEdges = async (queries: Queries, digest: Digest): Promise<boolean> =>
  (await selectPurge(queries, { digest })).length > 0

/** Again is no error. */
export const noteEdgePurge = async (transaction: Queries, digest: Digest, at: Date): Promise<void> => {
  await transaction
    .insertInto('edge_purges')
    .values({ digest, at: at.getTime() })
    .onConflict((conflict) => conflict.column('digest').doNothing())
    .execute()
}

/** Every edge keeps the hash again. */
export const dropEdgePurge = async (transaction: Queries, digest: Digest): Promise<void> => {
  await transaction.deleteFrom('edge_purges').where('digest', '=', digest).execute()
}
