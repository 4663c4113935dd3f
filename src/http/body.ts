/** A request's body: from Node's own stream where there is one, never waiting for ever, never destroying the socket. */
import type { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { Env } from './context.ts'

export interface BodyOptions {
  /** Longest wait for the client's next bytes, in milliseconds. Time that we take to write some is not counted. */
  readonly idleMs: number
  readonly signal: AbortSignal
  /** Sees the bytes as they come, before they are handed on; what it throws ends the reading. */
  readonly see: (chunk: Uint8Array) => void
  /** Gathered before it is handed on; 1 for who keeps what came before a cut. Default 256 KiB. */
  readonly pieceBytes?: number
}

/**
 * Gathered before it is waited for again: the socket gives 64 KiB at most at once, and to wait costs a timer, a listener and
 * promises. As large as what staging writes at once (`blobs/slabs.ts`).
 */
const PIECE_BYTES = 256 * 1024

/**
 * Of every minute in which we waited for the client: a byte every 29 s would keep a place for ever. Half of what GPRS brings four files at
 * once; Apache's mod_reqtimeout asks for 500 bytes a second, IIS and Kestrel for 240.
 */
const MIN_BYTES_PER_SECOND = 512
const PACE_MS = 60_000

/**
 * Lengths, offsets and digests are those of the bytes themselves.
 * @param what is sent, for the message. @throws AppError `unsupported-type` for a coded body.
 */
export const refuseCoded = (c: Context, what: string): void => {
  const coding = c.req.header('Content-Encoding')
  if (coding !== undefined && coding.toLowerCase() !== 'identity')
    throw new AppError('unsupported-type', `send the ${what} uncoded, without Content-Encoding ${quote(coding)}`)
}

/**
 * @throws (while iterated) AppError `timeout` when the client stalls or is too slow, `bad-request` when it leaves before the end; the
 * signal's reason.
 * Node's stream and not `c.req.raw.body`: the web stream around it costs 200 µs of CPU per 100 KB (peers-baseline, uploads).
 */
export async function* readBody(c: Context<Env>, options: BodyOptions): AsyncGenerator<Uint8Array> {
  const pieces = openBody(c, options)
  try {
    for (let piece = await pieces.next(); piece; piece = await pieces.next()) yield* piece
  } finally {
    pieces.leave()
  }
}

interface Pieces {
  /** Undefined at the end. */
  next(): Promise<readonly Uint8Array[] | undefined>
  /** Ended early, the stream is left alive: destroying it would close the socket before the problem is answered. */
  leave(): void
}

const openBody = (c: Context<Env>, options: BodyOptions): Pieces => {
  const bindings: Partial<Env['Bindings']> | undefined = c.env
  if (bindings?.incoming) return openIncoming(bindings.incoming, options)
  return openWebStream(c.req.raw.body, options)
}

/** A request that was made up by a test, or comes from a server other than Node's. */
const openWebStream = (body: ReadableStream<Uint8Array> | null, { idleMs, signal, see }: BodyOptions): Pieces => {
  const chunks = body?.values({ preventCancel: true })
  const pace = createPace()
  return {
    next: async () => {
      if (!chunks) return undefined
      const wait = openWait<IteratorResult<Uint8Array, unknown>>(idleMs, signal)
      pace.start()
      chunks.next().then(wait.resolve, (cause: unknown) => wait.reject(endedEarly(cause)))
      const step = await wait.promise.finally(wait.end)
      if (step.done) return undefined
      pace.see(step.value)
      pace.stop()
      see(step.value)
      return [step.value]
    },
    // Not awaited: after a stall its own `next` is still pending, and this would wait behind it.
    leave: () => void chunks?.return?.().catch(() => undefined),
  }
}

/** Reads on while a piece is gathered, and stands still while it is used. */
const openIncoming = (incoming: IncomingMessage, options: BodyOptions): Pieces => {
  const { idleMs, signal, see, pieceBytes = PIECE_BYTES } = options
  let chunks: Buffer[] = []
  let bytes = 0
  let ended = incoming.readableEnded
  let fault: { readonly cause: unknown } | undefined
  let wait: Wait<void> | undefined
  const pace = createPace()

  const fail = (cause: unknown): void => {
    fault ??= { cause }
    wait?.reject(cause)
  }
  const onData = (chunk: Buffer): void => {
    try {
      pace.see(chunk)
      see(chunk)
    } catch (error) {
      incoming.pause()
      fail(error)
      return
    }
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= pieceBytes) {
      incoming.pause()
      wait?.resolve()
    } else wait?.goOn()
  }
  const onEnd = (): void => {
    ended = true
    wait?.resolve()
  }
  const onFault = (cause?: unknown): void => {
    if (!ended) fail(endedEarly(cause))
  }
  const listeners = { data: onData, end: onEnd, error: onFault, close: onFault } as const
  for (const [event, listener] of Object.entries(listeners)) incoming.on(event, listener)
  incoming.pause()
  if (incoming.destroyed && !ended) onFault(incoming.errored)

  return {
    next: async () => {
      if (fault && bytes === 0) throw fault.cause
      if (!ended && bytes < pieceBytes) {
        wait = openWait<void>(idleMs, signal)
        pace.start()
        incoming.resume()
        await wait.promise.finally(wait.end)
        pace.stop()
        wait = undefined
      }
      if (bytes === 0) return undefined
      const gathered = chunks
      chunks = []
      bytes = 0
      return gathered
    },
    leave: () => {
      for (const [event, listener] of Object.entries(listeners)) incoming.off(event, listener)
      if (!ended) incoming.pause()
      // What comes after us is drained or reset; a reset nobody listens for would be an uncaught error.
      incoming.on('error', () => undefined)
    },
  }
}

interface Wait<T> extends PromiseWithResolvers<T> {
  /** Something came: the idle time begins anew. */
  goOn(): void
  /** Lets go of the timer and the signal. */
  end(): void
}

/** Ends by whoever resolves it, by the signal, or when nothing came for `idleMs`. */
const openWait = <T>(idleMs: number, signal: AbortSignal): Wait<T> => {
  const settled = Promise.withResolvers<T>()
  const timer = setTimeout(() => settled.reject(stalled(idleMs)), idleMs)
  const onAbort = () => settled.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  return {
    ...settled,
    goOn: () => timer.refresh(),
    end: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    },
  }
}

/** What comes against the time for which we waited; between `stop` and `start` no time passes. */
const createPace = () => {
  let bytes = 0
  let startedAt = 0
  let waitedMs = 0
  return {
    start: () => {
      startedAt = performance.now()
    },
    stop: () => {
      waitedMs += performance.now() - startedAt
    },
    /** @throws AppError `timeout` when the last minute brought too little. */
    see: (chunk: Uint8Array) => {
      bytes += chunk.byteLength
      const now = performance.now()
      const ms = waitedMs + now - startedAt
      if (ms < PACE_MS) return
      if (bytes * 1000 < MIN_BYTES_PER_SECOND * ms) throw tooSlow(bytes, ms)
      bytes = 0
      waitedMs = 0
      startedAt = now
    },
  }
}

const endedEarly = (cause: unknown): AppError => new AppError('bad-request', 'the body ended early', { cause })

const tooSlow = (bytes: number, ms: number): AppError =>
  timeout(
    `the body came too slowly: ${bytes} bytes in ${Math.round(ms / 1000)} s, where ${MIN_BYTES_PER_SECOND} a second are asked for`,
  )

const stalled = (idleMs: number): AppError => timeout(`the body stalled: nothing came for ${idleMs / 1000} s`)

/** The connection is of no more use: what the client sends later would be read as its next request. */
const timeout = (message: string): AppError => new AppError('timeout', message, { headers: { Connection: 'close' } })
