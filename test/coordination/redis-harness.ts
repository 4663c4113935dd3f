/** Instances over one real Redis, as far as coordination goes, and a second client to look at what they left. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { openRedis, type RedisOptions, type SharedRedis } from '../../src/coordination/redis.ts'
import { startRedis } from '../engines/redis.ts'
import { until } from '../fixtures/until.ts'

export interface RedisInstances extends AsyncDisposable {
  readonly server: Awaited<ReturnType<typeof startRedis>>
  /** Everything that an instance was told of faults. */
  readonly faults: string[]
  /** Another instance, connected and hearing. */
  open(options?: Partial<RedisOptions>): Promise<SharedRedis>
}

export const redisInstances = async (...serverOptions: readonly string[]): Promise<RedisInstances> => {
  await using opened = new AsyncDisposableStack()
  const server = opened.use(await startRedis(...serverOptions))
  const faults: string[] = []
  const open = async (options: Partial<RedisOptions> = {}) => {
    const redis = await openRedis({ url: server.url, onFault: (what) => void faults.push(what), ...options })
    instances.use(redis)
    await until(() => redis.health().state === 'ready')
    return redis
  }
  const instances = opened.use(new AsyncDisposableStack())
  const toClose = opened.move()
  return { server, faults, open, [Symbol.asyncDispose]: () => toClose.disposeAsync() }
}

/** A TCP line to a port that a test can cut, or make silent, for whoever goes through it. */
export const startLine = async (to: number) => {
  const sockets = new Set<Socket>()
  let whole = true
  const server = createServer((near) => {
    if (!whole) {
      near.destroy()
      return
    }
    const far = connect(to, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket)
          near.destroy()
          far.destroy()
        })
    }
    near.pipe(far).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    whole = false
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    /** What is connected stays so, and hears nothing any more; new connections work. */
    silence: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    mend: () => {
      whole = true
    },
    [Symbol.asyncDispose]: async () => {
      cut()
      server.close()
    },
  }
}
