/**
 * Stands between a client and an engine and does to their connection what networks and engines do: slow it, cut it, refuse it,
 * hang, answer errors. `http` works per request (S3, ClickHouse), `tcp` per connection (Redis, PostgreSQL).
 */
import { createServer as createHttpServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Faults {
  /** Connections are reset, those that are open too. */
  readonly down?: boolean
  /** Nothing is answered, nothing is closed. */
  readonly hang?: boolean
  /** Before a request is passed on (`http`), or with each piece that the engine sends (`tcp`). */
  readonly delayMs?: number
  /** Every n-th request is answered 503 and not passed on; `http` only. */
  readonly failOneIn?: number
  /** The connection is reset after so many bytes of an answer's body (`http`) or of what the engine sends (`tcp`). */
  readonly cutAfterBytes?: number
  /** After so many bytes, counted as above, nothing more comes, and the connection stays. */
  readonly stallAfterBytes?: number
  /** The request is passed on and done, and its answer never comes: the connection is reset; `http` only. */
  readonly loseAnswer?: boolean
  /** The requests meant, others pass; `http` only. */
  readonly only?: (request: SeenRequest) => boolean
  /** How often at most; then everything passes. */
  readonly times?: number
}

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
}

export interface FaultyProxy extends AsyncDisposable {
  readonly port: number
  /** Of an `http` proxy. */
  readonly url: string
  /** From now on; `{}` lets everything pass. */
  set(faults: Faults): void
  /** The last thousand requests, oldest first; `http` only. */
  readonly seen: readonly SeenRequest[]
  /** How often a fault was done to somebody since the last `set`. */
  readonly done: () => number
}

const MAX_SEEN = 1000

/** @param target where the engine listens on loopback. */
export const startFaultyProxy = async (target: number, protocol: 'http' | 'tcp'): Promise<FaultyProxy> => {
  const state = createFaultState()
  const sockets = new Set<Socket>()
  const seen: SeenRequest[] = []
  const server: Server =
    protocol === 'tcp'
      ? createTcpServer({ allowHalfOpen: true }, (socket) => void passConnection(socket, target, state))
      : createHttpServer((asked, answer) => {
          seen.push({ method: asked.method ?? '', path: asked.url ?? '', headers: asked.headers })
          if (seen.length > MAX_SEEN) seen.shift()
          void passRequest(asked, answer, target, state).catch(() => answer.destroy())
        })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    if (state.faults().down) reset(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const resetAll = () => {
    for (const socket of sockets) reset(socket)
  }
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    seen,
    done: state.done,
    set: (faults) => {
      state.set(faults)
      if (faults.down) resetAll()
    },
    [Symbol.asyncDispose]: async () => {
      resetAll()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/**
 * Not in the turn of the loop in which it is ended: libuv refuses to reset what is being shut down (`uv_tcp_close_reset`, EINVAL), and
 * Node 26.10 then takes it for closed, never closes it, and waits for it at its own end for ever, at 100 % of a core (seen).
 */
export const reset = (socket: Socket): void => {
  if (socket.writableEnded) setImmediate(() => socket.resetAndDestroy())
  else socket.resetAndDestroy()
}

type FaultState = ReturnType<typeof createFaultState>

const createFaultState = () => {
  let current: Faults = {}
  let [requests, done] = [0, 0]
  return {
    faults: () => current,
    done: () => done,
    set: (faults: Faults) => {
      current = faults
      requests = 0
      done = 0
    },
    /** What to do to this one, counted. */
    next: (asked?: SeenRequest): Faults => {
      const { times = Number.POSITIVE_INFINITY, only, ...faults } = current
      if (done >= times || (asked && only && !only(asked))) return {}
      requests += 1
      const fails = faults.failOneIn !== undefined && requests % faults.failOneIn === 0
      const ends = faults.cutAfterBytes !== undefined || faults.stallAfterBytes !== undefined
      if (faults.down || faults.hang || faults.delayMs || faults.loseAnswer || ends || fails) done += 1
      return { ...faults, failOneIn: fails ? 1 : 0 }
    },
  }
}

const passRequest = async (
  asked: IncomingMessage,
  answer: ServerResponse,
  target: number,
  state: FaultState,
): Promise<void> => {
  const { method = '', url: path = '', headers } = asked
  const faults = state.next({ method, path, headers })
  if (faults.down) return reset(asked.socket)
  if (faults.hang) return
  if (faults.delayMs) await sleep(faults.delayMs)
  if (faults.failOneIn === 1) {
    // The body is taken first: a client that is still sending would see a reset instead of the answer.
    asked.resume().once('end', () => answer.writeHead(503, { 'Content-Length': 0 }).end())
    return
  }
  const passed = request({ host: '127.0.0.1', port: target, method, path, headers, agent: false })
  answer.once('close', () => passed.destroy())
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    passed.once('response', resolve).once('error', reject)
  })
  // Not awaited: an engine may answer, with a refusal, before it has read the whole body.
  pipeline(asked, passed).catch(() => undefined)
  const response = await answered
  if (faults.loseAnswer) {
    response.resume().once('end', () => reset(asked.socket))
    return
  }
  answer.writeHead(response.statusCode ?? 502, response.rawHeaders)
  // So that a cut before the first byte of the body is not one before the answer.
  answer.flushHeaders()
  await pipeline(response, createEnding(faults, asked.socket), answer)
}

const passConnection = async (socket: Socket, target: number, state: FaultState): Promise<void> => {
  const faults = state.next()
  if (faults.down) return reset(socket)
  if (faults.hang) return void socket.resume()
  const engine = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true })
  const slow = new Transform({
    transform: (chunk, _encoding, done) => {
      const { delayMs } = state.faults()
      if (delayMs) setTimeout(() => done(null, chunk), delayMs)
      else done(null, chunk)
    },
  })
  await Promise.all([pipeline(socket, engine), pipeline(engine, slow, createEnding(faults, socket), socket)]).catch(
    () => {
      engine.destroy()
      socket.destroy()
    },
  )
}

/** Lets as many bytes pass as the faults allow, then passes nothing more; before a cut they get the time to arrive. */
const createEnding = ({ cutAfterBytes, stallAfterBytes }: Faults, socket: Socket): Transform => {
  let left = cutAfterBytes ?? stallAfterBytes ?? Number.POSITIVE_INFINITY
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (chunk.length <= left) {
        left -= chunk.length
        return done(null, chunk)
      }
      this.push(chunk.subarray(0, left))
      if (cutAfterBytes !== undefined) setTimeout(() => reset(socket), 20)
    },
  })
}
