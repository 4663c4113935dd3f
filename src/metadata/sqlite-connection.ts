/** One connection of `node:sqlite`: opened with our settings, statements kept prepared, values made bindable. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'

/** How long a statement waits for another writer. There is one writer; this covers a backup tool that holds the lock. */
const BUSY_TIMEOUT_MS = 5000
/**
 * Pages in the log before it is merged: 16,000 × 4 KiB = 64 MB. An upload writes some five pages, since hashes and ids are random, so
 * that this is two seconds of a full load; a page that was written often meanwhile is merged once.
 */
const CHECKPOINT_PAGES = 16_000
/** Negative: KiB (SQLite's convention). 32 MB hold the upper levels of every index of ten million rows. */
const CACHE_KIB = -32_000
/** Texts vary by the number of rows in a batch (≤ 64 for four tables) and by the filters of a listing. */
const MAX_STATEMENTS = 500

/** How transactions begin and end early; the worker looks for these very texts. */
export const BEGIN = 'begin immediate'
export const ROLLBACK = 'rollback'

export interface ExecuteResult {
  readonly rows: readonly unknown[]
  readonly changes: number
}

export interface SqliteConnection {
  execute(sql: string, parameters: readonly unknown[]): ExecuteResult
  readonly database: DatabaseSync
}

/** `synchronous = FULL`: a commit returns after its log is on the disk, which an acknowledged upload relies on. */
export const openSqliteConnection = (path: string, readOnly: boolean): SqliteConnection => {
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true, readOnly })
  if (!readOnly) {
    database.exec('pragma journal_mode = wal; pragma synchronous = full')
    database.exec(`pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  }
  database.exec(`pragma cache_size = ${CACHE_KIB}`)
  const prepare = keepPrepared(database)
  return {
    database,
    execute: (sql, parameters) => {
      const { statement, reads } = prepare(sql)
      // Bound as a list that starts with no object: node:sqlite takes an object in first place for named parameters.
      const values = parameters.map(toBindable)
      if (reads) return { rows: statement.all(...values), changes: 0 }
      return { rows: [], changes: Number(statement.run(...values).changes) }
    },
  }
}

const keepPrepared = (database: DatabaseSync) => {
  const kept = new Map<string, { statement: StatementSync; reads: boolean }>()
  return (sql: string) => {
    const known = kept.get(sql)
    if (known) kept.delete(sql)
    const statement = known?.statement ?? database.prepare(sql)
    const entry = known ?? { statement, reads: statement.columns().length > 0 }
    kept.set(sql, entry)
    const [oldest] = kept.keys()
    if (kept.size > MAX_STATEMENTS && oldest !== undefined) kept.delete(oldest)
    return entry
  }
}

const toBindable = (value: unknown): SQLInputValue => {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
      return value
    case 'boolean':
      return value ? 1 : 0
    case 'undefined':
      return null
    default:
      if (value === null || value instanceof Uint8Array) return value
      throw new TypeError(`cannot bind a ${Object.prototype.toString.call(value)} to a statement`)
  }
}
