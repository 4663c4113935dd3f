/** Port of the rows: look-ups that are safe on the event loop, searches and transactions that are not done on it. */
import type { Kysely, Transaction } from 'kysely'
import type { Schema } from './schema.ts'

/** What every query function takes: a reader or the transaction it is part of. */
export type Queries = Kysely<Schema>

export interface Metadata extends AsyncDisposable {
  /** As people call it. */
  readonly engine: string
  /** Point look-ups by an index, microseconds each: they may run on the event loop. Sees what was committed before. */
  readonly read: Queries
  /** Pages that may have to scan: never on the event loop. Sees what was committed before. */
  readonly search: Queries
  /**
   * Runs `work` as if alone against all other transactions, those of other processes too (serializable); durable when it
   * resolves, without effect when it rejects, unless the connection broke during the commit itself. `work` may run more than once,
   * so it has no effects but its statements.
   * @throws what `work` throws; AppError `busy` when the disk is full, or the database is away or lost too many races.
   */
  transaction<T>(work: (transaction: Transaction<Schema>) => Promise<T>): Promise<T>
  /** What will fail every transaction or search from now on, such as a thread that died; undefined while all is well. Free to ask. */
  fault(): string | undefined
  /** Numbers for the metrics: connections, waits, errors, where the engine has them. */
  stats(): Readonly<Record<string, number>>
}
