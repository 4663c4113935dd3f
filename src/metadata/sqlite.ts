/** Metadata in one SQLite file in WAL mode: one writer thread, one thread for searches, and a reader on the event loop. */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Kysely } from 'kysely'
import type { Metadata } from './database.ts'
import { ageRemovals } from './removals.ts'
import type { Schema } from './schema.ts'
import { openSqliteConnection } from './sqlite-connection.ts'
import { createSqliteDialect } from './sqlite-dialect.ts'
import { type SqliteWorker, startSqliteWorker } from './worker-client.ts'

/**
 * Opens (and makes, and migrates) the database at `path`. One process owns the file.
 * A commit's fsync takes 0.5–20 ms here; on the event loop it would stop every image hit for as long, hence the threads.
 * @throws Error when the file cannot be opened or is of a newer schema.
 */
export const openSqliteMetadata = async (path: string): Promise<Metadata> => {
  await mkdir(dirname(path), { recursive: true })
  const writer = await startSqliteWorker({ path, readOnly: false })
  const searcher = await startSqliteWorker({ path, readOnly: true })
  const reader = openSqliteConnection(path, true)
  const readHere = async (sql: string, parameters: readonly unknown[]) => reader.execute(sql, parameters)
  const read = new Kysely<Schema>({ dialect: createSqliteDialect(readHere, false) })
  const search = new Kysely<Schema>({ dialect: createSqliteDialect(searcher.execute, false) })
  const write = new Kysely<Schema>({ dialect: createSqliteDialect(writer.execute, true, readHere) })
  await write.transaction().execute(ageRemovals)
  return {
    engine: 'SQLite',
    read,
    search,
    transaction: (work) => write.transaction().execute(work),
    stats: () => ({}),
    fault: () => faultOf('writer', writer) ?? faultOf('searcher', searcher),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([read.destroy(), search.destroy(), write.destroy()])
      reader.database.close()
      await searcher.close()
      await writer.close()
    },
  }
}

const faultOf = (name: string, worker: SqliteWorker): string | undefined => {
  const fault = worker.fault()
  return fault === undefined ? undefined : `the ${name}’s thread died: ${fault}`
}
