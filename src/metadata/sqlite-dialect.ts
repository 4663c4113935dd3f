/** Kysely's SQLite dialect over any way of executing a statement: in this thread for look-ups, in a worker for the rest. */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { ExecuteResult } from './sqlite-connection.ts'

type Execute = (sql: string, parameters: readonly unknown[]) => Promise<ExecuteResult>

/**
 * `exclusive`: one user at a time, in order of arrival, which is what a transaction on a shared connection needs.
 * Without it statements are sent as they come: right for reads only.
 */
export const createSqliteDialect = (execute: Execute, exclusive: boolean): Dialect => ({
  createAdapter: () => new SqliteAdapter(),
  createQueryCompiler: () => new SqliteQueryCompiler(),
  createIntrospector: (database) => new SqliteIntrospector(database),
  createDriver: () => createDriver(execute, exclusive),
})

const createDriver = (execute: Execute, exclusive: boolean): Driver => {
  const connection: DatabaseConnection = {
    executeQuery: async <R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> => {
      const { rows, changes } = await execute(sql, parameters)
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
    // IMMEDIATE: the write lock is taken first, so that a transaction never fails half-way for want of it.
    beginTransaction: () => run('begin immediate'),
    commitTransaction: () => run('commit'),
    rollbackTransaction: () => run('rollback'),
    destroy: async () => undefined,
  }
}
