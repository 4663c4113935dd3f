/**
 * One connection to PostgreSQL that stays: it listens, and it holds session-level advisory locks. It notices its own loss, says so, and
 * comes back. Not through a pooler in transaction mode, which would give each statement to another server connection.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { AppError } from '../core/errors.ts'

/** A question to the server so often; its silence for so long is a loss. Together the longest that a loss stays unnoticed: 4 s. */
const HEARTBEAT_MS = 1_000
const SILENCE_MS = 3_000
/**
 * The other way round: a session from which the server hears nothing for so long is ended there, and its locks are free. It is what ends the
 * locks of a process that was frozen or cut off; several heartbeats, so that a busy event loop is not taken for one.
 */
const SERVER_PATIENCE_MS = 15_000
const CONNECT_LIMIT_MS = 5_000
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000
/** A caller waits so long for a lost connection: longer than a restart of the server that finds all in order. */
const RETURN_LIMIT_MS = 5_000
const RETRY_SECONDS = 2

export interface SessionOptions {
  readonly url: string
  readonly channels: readonly string[]
  /** A notification of another session. */
  readonly onNotice: (channel: string, payload: string) => void
  /** The connection is lost, and with it every lock and every notification until it is back. */
  readonly onDown: (cause: unknown) => void
  /** It listens again; after the first time too. */
  readonly onUp?: () => void
}

export interface PostgresSession extends AsyncDisposable {
  /** Waits some seconds for a connection that is lost. @throws AppError `busy`; then nobody knows what became of the statement. */
  query<Row extends object>(sql: string, values: readonly unknown[]): Promise<readonly Row[]>
  up(): boolean
  readonly stats: { readonly losses: number }
}

/** @returns a session that is up. @throws Error when the server cannot be reached. */
export const openPostgresSession = async (options: SessionOptions): Promise<PostgresSession> => {
  const stats = { losses: 0 }
  let closing = false
  const first = await connect(options)
  let client: Client | undefined
  let back = Promise.withResolvers<void>()

  const lose = (lost: Client, cause: unknown): void => {
    if (client !== lost) return
    client = undefined
    void lost.end().catch(() => undefined)
    if (closing) return
    stats.losses += 1
    options.onDown(cause)
    void comeBack()
  }
  const adopt = (adopted: Client): void => {
    client = adopted
    adopted.on('error', (error) => lose(adopted, error))
    adopted.on('end', () => lose(adopted, new Error('the connection ended')))
    adopted.on('notification', ({ channel, payload, processId }) => {
      // What this session said itself its process knows already.
      if (client === adopted && processId !== processIdOf(adopted)) options.onNotice(channel, payload ?? '')
    })
    options.onUp?.()
    back.resolve()
    back = Promise.withResolvers()
  }
  const comeBack = async (): Promise<void> => {
    for (let pause = FIRST_PAUSE_MS; !closing; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      await sleep(pause * (0.5 + Math.random() / 2), undefined, { ref: false })
      const next = await connect(options).catch(() => undefined)
      if (!next) continue
      if (closing) await next.end().catch(() => undefined)
      else adopt(next)
      return
    }
  }
  const ready = async (): Promise<Client> => {
    const until = performance.now() + RETURN_LIMIT_MS
    while (!client && !closing) {
      const left = until - performance.now()
      if (left <= 0) break
      await Promise.race([back.promise, sleep(left, undefined, { ref: false })])
    }
    if (client) return client
    throw new AppError('busy', 'the database cannot be reached', { retryAfterSeconds: RETRY_SECONDS })
  }

  const heartbeat = setInterval(() => {
    const asked = client
    asked?.query('select 1').catch((error: unknown) => lose(asked, error))
  }, HEARTBEAT_MS)
  heartbeat.unref()
  adopt(first)

  return {
    stats,
    up: () => client !== undefined,
    query: async <Row extends object>(sql: string, values: readonly unknown[]) => {
      const asked = await ready()
      try {
        return (await asked.query<Row>(sql, [...values])).rows
      } catch (cause) {
        // Whatever it was: a lock that was granted and not heard of must not outlive this.
        lose(asked, cause)
        throw new AppError('busy', 'the database cannot be reached', { cause, retryAfterSeconds: RETRY_SECONDS })
      }
    },
    [Symbol.asyncDispose]: async () => {
      closing = true
      clearInterval(heartbeat)
      back.resolve()
      const last = client
      client = undefined
      await last?.end().catch(() => undefined)
    },
  }
}

const connect = async ({ url, channels }: SessionOptions): Promise<Client> => {
  const client = new Client({
    connectionString: url,
    application_name: 'oriel session',
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    query_timeout: SILENCE_MS,
    keepAlive: true,
  })
  // Until it is adopted; an event without a listener would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const listening = channels.map((channel) => `listen ${channel}`)
    await client.query([`set idle_session_timeout = ${SERVER_PATIENCE_MS}`, ...listening].join('; '))
    return client
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

/** Not in the types of pg, which sets it from the server's BackendKeyData. */
const processIdOf = (client: Client): unknown => ('processID' in client ? client.processID : undefined)
