/** What is known of bytes that have just arrived. One statement: each is a way to the server, or 25 µs of SQLite on the event loop. */
import { sql } from 'kysely'
import type { Digest } from '../core/ids.ts'
import type { Queries } from './database.ts'
import { ORIGINAL_COLUMNS, type OriginalRecord, toOriginal } from './originals.ts'
import { prepareQuery } from './prepared.ts'
import { type SeenRemoval, toSeen } from './removals.ts'

export interface Arrival {
  /** To be held against `refuseIfRemoved`. */
  readonly removal: SeenRemoval
  /** Undefined when the bytes are not in the store. */
  readonly known: OriginalRecord | undefined
}

const selectArrival = prepareQuery((queries, { digest }: { readonly digest: Digest }) =>
  queries
    .selectFrom(sql<{ readonly digest: string }>`(select cast(${digest} as text) as digest)`.as('arrived'))
    .leftJoin('removals', 'removals.digest', 'arrived.digest')
    .leftJoin('originals', 'originals.digest', 'arrived.digest')
    .select(['removals.version', 'removals.pending', ...ORIGINAL_COLUMNS]),
)

/** Both as of one moment. @throws AppError `busy` while the bytes are being removed. */
export const seeArrival = async (queries: Queries, digest: Digest): Promise<Arrival> => {
  const [row] = await selectArrival(queries, { digest })
  const { version = null, pending = null } = row ?? {}
  const removal = toSeen(digest, version === null || pending === null ? undefined : { version, pending })
  return { removal, known: row && isStored(row) ? toOriginal(digest, row) : undefined }
}

type ArrivalRow = Awaited<ReturnType<typeof selectArrival>>[number]
type StoredRow = Parameters<typeof toOriginal>[1]

/** Of a row that is there, every column that may not be null is not. */
const isStored = (row: ArrivalRow): row is ArrivalRow & StoredRow => row.bytes !== null
