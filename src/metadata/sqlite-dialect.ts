/** Kysely's SQLite dialect over any way of executing a statement: in this thread for look-ups, in a worker for the rest. */
import {
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { Deferrable, LookUp } from './prepared.ts'
import { BEGIN, type ExecuteResult, ROLLBACK } from './sqlite-connection.ts'

type Execute = (sql: string, parameters: readonly unknown[]) => Promise<ExecuteResult>

/**
 * `exclusive`: one user at a time, in order of arrival, which is what a transaction on a shared connection needs.
 * Without it statements are sent as they come: right for reads only.
 * `lookUp`: how what was committed is read. A transaction's look-ups before its first write go there: nothing else can be committed
 * meanwhile by who has the only connection that writes, so it reads what the transaction would.
 */
export const createSqliteDialect = (execute: Execute, exclusive: boolean, lookUp: Execute = execute): Dialect => ({
  createAdapter: () => new SqliteAdapter(),
  createQueryCompiler: () => new SqliteQueryCompiler(),
  createIntrospector: (database) => new SqliteIntrospector(database),
  createDriver: () => createDriver(execute, exclusive, lookUp),
})

/** Each wait would be a message to the writer's thread and one back, and two threads to be woken. */
const unawaited = (executed: Promise<unknown>) => {
  // Told by what follows in the transaction.
  executed.catch(() => undefined)
  return { rows: [] }
}

const createDriver = (execute: Execute, exclusive: boolean, lookUp: Execute): Driver => {
  /** The transaction under way has written nothing yet. */
  let unwritten = false
  const connection: DatabaseConnection = {
    executeQuery: async <R>(query: Deferrable & LookUp): Promise<QueryResult<R>> => {
      const { sql, parameters, deferred } = query
      const early = query.lookUp && unwritten
      unwritten &&= early ?? false
      const executed = early ? lookUp(sql, parameters) : execute(sql, parameters)
      if (deferred && exclusive) return unawaited(executed)
      const { rows, changes } = await executed
      return { rows: rows as R[], numAffectedRows: BigInt(changes) }
    },
    streamQuery: () => {
      throw new Error('rows are read in pages here, never streamed')
    },
  }
  const run = async (sql: string): Promise<void> => void (await execute(sql, []))
  const turns: (() => void)[] = []
  let taken = false
  return {
    init: async () => undefined,
    acquireConnection: async () => {
      if (exclusive && taken) await new Promise<void>((resolve) => turns.push(resolve))
      taken = true
      return connection
    },
    releaseConnection: async () => {
      const next = turns.shift()
      if (next) next()
      else taken = false
    },
    // IMMEDIATE: the write lock is taken first, so that a transaction never fails half-way for want of it. Not waited for: should
    // it fail, so does everything up to the rollback (`sqlite-worker.ts`).
    beginTransaction: async () => {
      unwritten = true
      unawaited(run(BEGIN))
    },
    commitTransaction: () => run('commit'),
    rollbackTransaction: () => run(ROLLBACK),
    destroy: async () => undefined,
  }
}
