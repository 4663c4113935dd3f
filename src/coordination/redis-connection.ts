/**
 * Redis as something that may be slow or gone at any moment: every command has a time limit and fails at once while the
 * connection is down or has failed several times in a row. Nothing waits for Redis to come back; who needs it asks again.
 */
import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleAll, TimeoutStrategy, timeout, wrap } from 'cockatiel'
import { Redis, type RedisOptions } from 'ioredis'

/** What Redis answers from memory takes under 1 ms on a network of ours; after this, doing without is quicker. */
const COMMAND_LIMIT_MS = 250
/** Failures in a row that open the breaker, and how long it then refuses before one command tries again. */
const BREAK_AFTER = 5
const TRY_AGAIN_AFTER_MS = 1_000
/** No byte for so long while commands are under way: the connection is given up, and with it what waits in its queue. */
const SILENCE_LIMIT_MS = 2_000
const CONNECT_LIMIT_MS = 2_000
/** Reconnects after 50, 100, 200 ms… at most 2 s apart, up to a quarter earlier, so that many instances do not come at once. */
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 2_000
/** Commands under way, values of up to 256 KiB among them: more fail at once. */
const MAX_IN_FLIGHT = 1_000
/** At start Redis gets this long; after it the server runs without, and connects when it can. */
const START_LIMIT_MS = 1_000

export interface RedisStats {
  commands: number
  failures: number
  /** Not sent: the breaker was open, or too many were under way. */
  refused: number
  reconnects: number
  inFlight: number
}

export interface RedisConnection extends AsyncDisposable {
  /** Begins every key and channel: `oriel:<database>:`, since channels know no databases. */
  readonly prefix: string
  /** Where it is, without credentials, for messages. */
  readonly address: string
  /** For libraries that take a client; use it within `run` only. */
  readonly client: Redis
  /** A connection of its own for subscriptions. The caller hangs up. */
  subscriber(): Redis
  /** One command within the limits. @throws when Redis is gone, slow or refuses it. */
  run<T>(command: (client: Redis) => Promise<T>): Promise<T>
  /** Connected, and not failing. */
  up(): boolean
  readonly stats: Readonly<RedisStats>
}

/**
 * @param url `redis://` or `rediss://`, credentials and database number in it.
 * @param onFault told in words when the connection breaks or fails, at most once until it works again. Never contains credentials.
 */
export const openRedisConnection = async (url: string, onFault: (what: string) => void): Promise<RedisConnection> => {
  const { hostname, port, pathname } = new URL(url)
  const address = `${hostname}:${port || 6379}`
  const stats: RedisStats = { commands: 0, failures: 0, refused: 0, reconnects: 0, inFlight: 0 }
  const tell = onceUntilWell(address, onFault)

  const client = new Redis(url, { ...OPTIONS, lazyConnect: true })
  // Only the message: an ioredis error carries its command, and that of AUTH the password.
  client.on('error', (error: Error) => tell.fault(error.message))
  client.on('reconnecting', () => {
    stats.reconnects += 1
  })
  client.on('ready', tell.well)

  const breaker = circuitBreaker(handleAll, {
    halfOpenAfter: TRY_AGAIN_AFTER_MS,
    breaker: new ConsecutiveBreaker(BREAK_AFTER),
  })
  breaker.onBreak((reason) => tell.fault('error' in reason ? messageOf(reason.error) : 'failing'))
  breaker.onReset(tell.well)
  const limit = timeout(COMMAND_LIMIT_MS, { strategy: TimeoutStrategy.Cooperative, abortOnReturn: false })
  const policy = wrap(breaker, limit)

  const run = async <T>(command: (client: Redis) => Promise<T>): Promise<T> => {
    if (breaker.state === CircuitState.Open || stats.inFlight >= MAX_IN_FLIGHT) stats.refused += 1
    if (stats.inFlight >= MAX_IN_FLIGHT) throw new Error(`more than ${MAX_IN_FLIGHT} Redis commands under way`)
    stats.commands += 1
    try {
      return await policy.execute(({ signal }) => {
        stats.inFlight += 1
        // Counted until ioredis lets go of it, which may be after we gave up on it.
        const answer = command(client).finally(() => {
          stats.inFlight -= 1
        })
        return unlessLate(answer, signal)
      })
    } catch (error) {
      stats.failures += 1
      throw error
    }
  }

  await connectWithin(client, START_LIMIT_MS)
  return {
    prefix: `oriel:${Number(pathname.slice(1) || 0)}:`,
    address,
    client,
    subscriber: () => {
      const subscriber = new Redis(url, { ...OPTIONS, autoResubscribe: false })
      subscriber.on('error', (error: Error) => tell.fault(error.message))
      return subscriber
    },
    run,
    up: () => client.status === 'ready' && breaker.state === CircuitState.Closed,
    stats,
    [Symbol.asyncDispose]: async () => hangUp(client),
  }
}

/**
 * Ends a client for good. A TLS handshake that fails while it is cut off says so on the socket twice, and ioredis 6.0 listens for one
 * error: 107 of 150 such ends would have ended the process (tried against a certificate that is not trusted).
 */
export const hangUp = (client: Redis): void => {
  const socket: Redis['stream'] | undefined = client.stream
  socket?.on('error', () => {})
  client.disconnect()
}

const OPTIONS = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: CONNECT_LIMIT_MS,
  socketTimeout: SILENCE_LIMIT_MS,
  connectionName: 'oriel',
  retryStrategy: (times: number) =>
    Math.min(RETRY_FIRST_MS * 2 ** Math.min(times - 1, 10), RETRY_MAX_MS) * (1 - Math.random() / 4),
} as const satisfies RedisOptions

/** Rejects in the turn after the limit: an answer that waited in the socket while this process itself was held up is taken first. */
const unlessLate = <T>(answer: Promise<T>, limit: AbortSignal): Promise<T> => {
  const late = Promise.withResolvers<never>()
  const reject = () => setImmediate(() => late.reject(new Error(`no answer in ${COMMAND_LIMIT_MS} ms`)))
  limit.addEventListener('abort', reject, { once: true })
  return Promise.race([answer, late.promise])
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** A connection that comes too late, or not yet, is no fault of the start. */
const connectWithin = async (client: Redis, limitMs: number): Promise<void> => {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, limitMs)
  await Promise.race([client.connect().catch(() => {}), late.promise])
  clearTimeout(timer)
}

/** A Redis that is gone fails a thousand times a second; the log wants to hear of it once. */
const onceUntilWell = (address: string, onFault: (what: string) => void) => {
  let told = false
  return {
    fault: (what: string) => {
      if (!told) onFault(`Redis at ${address}: ${what}`)
      told = true
    },
    well: () => {
      told = false
    },
  }
}
