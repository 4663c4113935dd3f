/** What origins that share a database have in common: rows, leases and change notices, by the engine that the configuration names. */
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/environment.ts'
import type { Engines } from './compose-api.ts'
import { createInProcessLocker, createInProcessNotices } from './coordination/in-process.ts'
import { openSqliteMetadata } from './metadata/sqlite.ts'

export type Shared = Pick<Engines, 'metadata' | 'locker' | 'notices' | 'sharing'>

/** @throws Error when the database cannot be opened; what was opened is in `opened`. */
export const openShared = async (
  { ORIEL_DATABASE: database, ORIEL_DATA: folder }: Pick<Config, 'ORIEL_DATABASE' | 'ORIEL_DATA'>,
  log: Logger,
  opened: AsyncDisposableStack,
): Promise<Shared> => {
  if (database.engine === 'sqlite')
    return {
      metadata: opened.use(await openSqliteMetadata(join(folder, 'oriel.db'))),
      locker: createInProcessLocker(),
      notices: createInProcessNotices(),
      sharing: {},
    }
  return openPostgres(database, log, opened)
}

/** Loaded only here: an embedded origin needs no client. */
const openPostgres = async (
  database: Extract<Config['ORIEL_DATABASE'], { readonly engine: 'postgres' }>,
  log: Logger,
  opened: AsyncDisposableStack,
): Promise<Shared> => {
  const [{ openPostgresMetadata }, { openPostgresLocker }, { openPostgresNotices }] = await Promise.all([
    import('./metadata/postgres.ts'),
    import('./coordination/postgres-locker.ts'),
    import('./coordination/postgres-notices.ts'),
  ])
  const metadata = opened.use(await openPostgresMetadata(database))
  // The lock that keeps uploads and removals apart lives where the rows live, whatever else is configured.
  const locker = opened.use(await openPostgresLocker(database.url))
  const notices = opened.use(
    await openPostgresNotices(database.url, (error) => log.error({ err: error }, 'a change notice was not taken')),
  )
  return { metadata, locker, notices, sharing: { locker: locker.stats, notices: notices.stats } }
}
