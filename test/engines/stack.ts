/**
 * Several real origins on one S3 store, one PostgreSQL and one Redis, all of them real and started here. Engines stay out of each
 * other's way: everything is on free loopback ports and in temporary folders.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sumOf } from '../e2e/metric.ts'
import { type Origin, startOrigin } from '../e2e/origin.ts'
import { type Ceph, cephIsHere, startCeph } from './ceph.ts'
import { type FaultyProxy, startFaultyProxy } from './faulty-proxy.ts'
import { freePort } from './port.ts'
import { type PostgresCluster, postgresIsHere, startPostgres } from './postgres.ts'
import { type RedisServer, redisIsHere, startRedis } from './redis.ts'

/** Whether all engines of the stack are installed; where not, one line says which is missing and how to get it. */
export const stackIsHere = (wanted: string): boolean => cephIsHere && postgresIsHere(wanted) && redisIsHere()

/** What origins that share a database must have in common. */
export const SIGNING_KEYS = 'k1:a-signing-key-for-tests-0123456789'

export interface StackOptions {
  readonly origins: number
  /** For every origin, beside what names the engines. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Stack extends AsyncDisposable {
  readonly ceph: Ceph
  readonly bucket: string
  /** Between the origins and the store. */
  readonly store: FaultyProxy
  readonly postgres: PostgresCluster
  readonly database: string
  readonly redis: RedisServer
  /** Of the origins that run now, in the order of their numbers. */
  readonly origins: readonly Origin[]
  /** What an origin has in its environment, to start something else with the same engines. */
  readonly env: Readonly<Record<string, string>>
  origin(number: number): Origin
  /** Ends one; its folder and port stay its own. */
  stop(number: number, signal: NodeJS.Signals): Promise<void>
  /** Starts it again, on the port and the folder that it had. */
  start(number: number): Promise<void>
  /** Resolves when every origin that runs hears the others through Redis. */
  sharing(): Promise<void>
}

const SHARING_LIMIT_MS = 60_000

export const startStack = async ({ origins: count, env = {} }: StackOptions): Promise<Stack> => {
  await using opened = new AsyncDisposableStack()
  const [ceph, postgres, redis, folder] = await Promise.all([
    startCeph().then((it) => opened.use(it)),
    startPostgres().then((it) => opened.use(it)),
    startRedis().then((it) => opened.use(it)),
    mkdtemp(join(tmpdir(), 'oriel-stack-')),
  ])
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const store = opened.use(await startFaultyProxy(ceph.port, 'http'))
  const bucket = await ceph.createBucket()
  const database = await postgres.createDatabase()
  const all = {
    ...ceph.credentials,
    ORIEL_BLOBS: `s3://${bucket}?endpoint=${store.url}`,
    ORIEL_DATABASE: database,
    ORIEL_REDIS: redis.url,
    ORIEL_SIGNING_KEYS: SIGNING_KEYS,
    ORIEL_LOG_LEVEL: 'warn',
    ORIEL_ANALYTICS: 'off',
    ...env,
  }
  const places = await Promise.all(
    Array.from({ length: count }, async (_, number) => ({
      data: join(folder, `origin-${number}`),
      port: await freePort(),
    })),
  )
  const running = new Map<number, Origin>()
  opened.defer(async () => void (await Promise.all([...running.values()].map((it) => it.stop('SIGKILL')))))
  const start = async (number: number): Promise<void> => {
    const place = places[number]
    if (!place) throw new Error(`no origin ${number}`)
    running.set(number, await startOrigin({ data: place.data, env: { ...all, PORT: `${place.port}` } }))
  }
  // At once, as containers start: migrations and lifecycle rules must stand it.
  await Promise.all(places.map((_, number) => start(number)))

  const toClose = opened.move()
  return {
    ceph,
    bucket,
    store,
    postgres,
    database,
    redis,
    env: all,
    get origins() {
      return [...running].sort(([a], [b]) => a - b).map(([, origin]) => origin)
    },
    origin: (number) => {
      const origin = running.get(number)
      if (!origin) throw new Error(`origin ${number} does not run`)
      return origin
    },
    stop: async (number, signal) => {
      await running.get(number)?.stop(signal)
      running.delete(number)
    },
    start,
    sharing: async () => {
      for (const until = Date.now() + SHARING_LIMIT_MS; Date.now() < until; await sleep(50))
        if ((await sumOf([...running.values()], 'redis_live')) === running.size) return
      throw new Error(`not all origins hear Redis after ${SHARING_LIMIT_MS} ms`)
    },
    [Symbol.asyncDispose]: () => toClose.disposeAsync(),
  }
}
