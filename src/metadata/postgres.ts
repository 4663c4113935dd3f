/**
 * Metadata in PostgreSQL, shared by any number of origins.
 *
 * Transactions are SERIALIZABLE: what the port promises ("as if alone") is then true across processes, and callers read and
 * decide before they write without a lock to forget. Weaker levels break them: under READ COMMITTED a restore that waits for
 * a purge updates nothing and says it did; under REPEATABLE READ two purges of the last two assets of a hash each see the other's row
 * and both leave the original. The server rolls the loser of such a race back, and it runs again here, for a bounded time. Uploads
 * read one index range (`removals`) and so hardly ever lose.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, PostgresDialect } from 'kysely'
import { Client } from 'pg'
import type { Metadata } from './database.ts'
import { lostRace, mayComeUp } from './postgres-errors.ts'
import { migratePostgres } from './postgres-migrations.ts'
import { type BoundedPool, createPool } from './postgres-pool.ts'
import type { Schema } from './schema.ts'

/**
 * Connections: 4 + 2 + 4, and one each for leases and notices: 12 a process, so eight origins fit into the server's default of 100.
 * Look-ups of delivery, pages, and transactions apart, so that none can take the others' connections.
 */
const READERS = { max: 4, statementLimitMs: 5_000, settings: ['default_transaction_read_only = on'] }
const SEARCHERS = { max: 2, statementLimitMs: 15_000, settings: ['default_transaction_read_only = on'] }
const WRITERS = {
  max: 4,
  statementLimitMs: 10_000,
  settings: [
    // A commit returns after its log is on the disk, which an acknowledged upload relies on, whatever the server's default.
    'synchronous_commit = on',
    // A scan of a small table would make every transaction that reads it conflict with every one that writes it.
    'enable_seqscan = off',
  ],
}

/**
 * Whoever commits first has won, so each round lets at least one pass. Who still loses after so long, counted from its first try,
 * is told to come back.
 */
const RACES_LIMIT_MS = 15_000
const FIRST_PAUSE_MS = 2
const LONGEST_PAUSE_MS = 50

/** Containers start together: the server may need this long for its own recovery. */
const START_LIMIT_MS = 30_000
const START_PAUSE_MS = 250

export interface PostgresPlace {
  readonly url: string
  /** The same without user and password, for messages. */
  readonly place: string
}

/** Waits for the server, migrates, and opens the pools. @throws Error naming the place, never the password. */
export const openPostgresMetadata = async ({ url, place }: PostgresPlace): Promise<Metadata> => {
  await whenUp(url).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message || String(cause) : String(cause)
    throw new Error(`cannot use the database ${place} (ORIEL_DATABASE): ${why}`, { cause })
  })
  const pools = [READERS, SEARCHERS, WRITERS].map((options) => createPool({ url, ...options }))
  const [read, search, write] = pools.map(open) as [Kysely<Schema>, Kysely<Schema>, Kysely<Schema>]
  let transactions = 0
  let retries = 0
  const sum = (name: 'connections' | 'idle' | 'waiting' | 'errors') =>
    pools.reduce((total, { stats }) => total + stats()[name], 0)

  const inLane = createLane()
  const attempt: Metadata['transaction'] = async (work) => {
    const result = await write.transaction().setIsolationLevel('serializable').execute(work)
    transactions += 1
    return result
  }
  const transaction: Metadata['transaction'] = async (work) => {
    const until = performance.now() + RACES_LIMIT_MS
    const again = async (races: number): Promise<Awaited<ReturnType<typeof work>>> => {
      await sleep(Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** races))
      try {
        return await attempt(work)
      } catch (error) {
        if (!lostRace(error) || performance.now() > until) throw error
        retries += 1
        return again(races + 1)
      }
    }
    try {
      return await attempt(work)
    } catch (error) {
      if (!lostRace(error)) throw error
      retries += 1
      return inLane(() => again(0))
    }
  }
  return {
    engine: 'PostgreSQL',
    read,
    search,
    transaction,
    // A server that is away may be back for the next statement: nothing here is broken for good.
    fault: () => undefined,
    stats: () => ({
      connections: sum('connections'),
      idle: sum('idle'),
      waiting: sum('waiting'),
      errors: sum('errors'),
      transactions,
      retries,
    }),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([read, search, write].map((kysely) => kysely.destroy()))
    },
  }
}

/** Losers of one process run one after the other: they race with other processes only, and not with each other for ever. */
const createLane = () => {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work)
    last = mine.catch(() => undefined)
    return mine
  }
}

const open = ({ pool }: BoundedPool): Kysely<Schema> => new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })

const whenUp = async (url: string): Promise<void> => {
  const until = performance.now() + START_LIMIT_MS
  for (;;) {
    try {
      await migrateOnce(url)
      return
    } catch (error) {
      if (!mayComeUp(error) || performance.now() > until) throw error
      await sleep(START_PAUSE_MS)
    }
  }
}

const migrateOnce = async (url: string): Promise<void> => {
  const client = new Client({
    connectionString: url,
    application_name: 'oriel',
    connectionTimeoutMillis: START_LIMIT_MS / 2,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await migratePostgres(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}
