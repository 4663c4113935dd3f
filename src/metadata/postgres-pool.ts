/** A bounded pool of connections, as Kysely takes it: every wait has a limit, every error is an AppError, none ends the process. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PostgresPool, PostgresPoolClient } from 'kysely'
import { type ClientBase, Pool, type PoolClient, types } from 'pg'
import { AppError } from '../core/errors.ts'
import { asAppError, isRestarting } from './postgres-errors.ts'

/**
 * For a connection: a new one takes 5 ms in a data centre, 100 across a continent; also the longest wait for a free one, and for a
 * server that restarts, which takes one or two seconds: nobody has been asked anything yet, so to wait is only slower.
 */
const CONNECT_LIMIT_MS = 5_000
/** How much longer than the server's own limit we wait for its answer, before the connection counts as dead. */
const SILENCE_MS = 2_000
/** Between two statements of a transaction: our work in between is microseconds, so this is a process that stopped. */
const IDLE_IN_TRANSACTION_MS = 10_000
/** New connections now and then, so that a moved address or a balanced replacement is found. */
const LIFETIME_SECONDS = 1_800
const IDLE_MS = 30_000
const RETURN_PAUSE_MS = 100
/** Callers waiting for a connection; at 1 ms a look-up some 300 ms on four connections. More are told to come back. */
const MAX_WAITING = 1_000

export interface PoolStats {
  readonly connections: number
  readonly idle: number
  readonly waiting: number
  /** Connections lost, statements refused or late. */
  readonly errors: number
}

export interface PoolOptions {
  readonly url: string
  readonly max: number
  readonly statementLimitMs: number
  /** `name = value` for the session, beside the limits. */
  readonly settings: readonly string[]
}

export interface BoundedPool {
  readonly pool: PostgresPool
  readonly stats: () => PoolStats
}

/** int8 as a number: counts and milliseconds are exact below 2^53 (285,000 years of them). Everything else as pg has it. */
export const NUMBERS = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === types.builtins.INT8
      ? Number
      : types.getTypeParser(oid, format === 'binary' ? 'text' : format)) as typeof types.getTypeParser,
}

export const createPool = ({ url, max, statementLimitMs, settings }: PoolOptions): BoundedPool => {
  let errors = 0
  const fail = (error: unknown): AppError => {
    errors += 1
    return asAppError(error)
  }
  const session = [
    `statement_timeout = ${statementLimitMs}`,
    `idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`,
    ...settings,
  ]
  // The pool waits for it, which its types do not say.
  const onConnect = (client: ClientBase): unknown => prepare(client, session, fail)
  const pool = new Pool({
    connectionString: url,
    application_name: 'oriel',
    max,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    query_timeout: statementLimitMs + SILENCE_MS,
    idleTimeoutMillis: IDLE_MS,
    maxLifetimeSeconds: LIFETIME_SECONDS,
    keepAlive: true,
    types: NUMBERS,
    onConnect,
  })
  // An idle connection that breaks is dropped by the pool; without a listener its event would end the process.
  pool.on('error', fail)

  let returning = 0
  const waiting = () => pool.waitingCount + returning
  const connect = async (): Promise<PostgresPoolClient> => {
    if (waiting() >= MAX_WAITING)
      throw new AppError('busy', 'too many are waiting for the database', { retryAfterSeconds: 1 })
    try {
      return wrap(await connectSoon(), fail)
    } catch (error) {
      throw fail(error)
    }
  }
  const connectSoon = async (): Promise<PoolClient> => {
    const until = performance.now() + CONNECT_LIMIT_MS
    for (;;) {
      try {
        return await pool.connect()
      } catch (error) {
        if (!isRestarting(error) || performance.now() > until) throw error
      }
      returning += 1
      await sleep(RETURN_PAUSE_MS * (0.5 + Math.random()))
      returning -= 1
    }
  }
  return {
    pool: { connect, end: () => pool.end(), options: pool.options },
    stats: () => ({ connections: pool.totalCount, idle: pool.idleCount, waiting: waiting(), errors }),
  }
}

const prepare = async (client: ClientBase, session: readonly string[], fail: (error: unknown) => AppError) => {
  // A connection that breaks between two statements of its user has no other listener.
  client.on('error', fail)
  await client.query(session.map((setting) => `set ${setting}`).join('; '))
}

/** A connection that gave no proper answer is not given back: nobody can tell what it is still doing. */
const wrap = (client: PoolClient, fail: (error: unknown) => AppError): PostgresPoolClient => {
  let broken: AppError | undefined
  const query = async (sql: string, parameters: readonly unknown[]) => {
    if (broken) throw broken
    try {
      return await client.query(sql, [...parameters])
    } catch (error) {
      const failure = fail(error)
      if (!isAnswer(error)) broken = failure
      throw failure
    }
  }
  // Kysely's type has a second form, for cursors, which nothing here uses.
  return { query: query as unknown as PostgresPoolClient['query'], release: () => client.release(broken !== undefined) }
}

const isAnswer = (error: unknown): boolean => error instanceof Error && 'severity' in error
