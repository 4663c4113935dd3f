/** A feed as Server-Sent Events (html.spec.whatwg.org/multipage/server-sent-events.html): a page at a time, as fast as its reader takes them. */
import type { OwnerId } from '../core/ids.ts'
import type { Position } from './cursor.ts'
import type { Feed, ToldChange } from './feed.ts'
import type { Watch } from './hub.ts'

export interface StreamOptions {
  /** Shorter than the minute after which proxies take a silent connection for dead. Default 15 s. */
  readonly heartbeatMs?: number
  /**
   * After this the stream ends, read or not, and the device comes back where it was: a revoked key works no longer than this, and what is
   * left has a heartbeat more to be taken. Default 15 min.
   */
  readonly lifetimeMs?: number
}

export interface StreamParts {
  readonly feed: Feed
  readonly watch: Watch
  readonly ownerId: OwnerId
  readonly from: Position
  readonly cursorOf: (position: Position) => string
  /** One event's JSON, on one line. */
  readonly textOf: (change: ToldChange) => string
  /** Aborts when the reader has gone. */
  readonly signal: AbortSignal
  /** Closes the connection, which may be done already: a heartbeat after the stream has ended. */
  readonly cut: () => void
  /** Told of what broke the stream. */
  readonly onFault: (error: unknown) => void
}

/** Changes held for one reader at most: some 100 KB. */
const PAGE = 50
/** How soon a reader whose stream ended comes back. */
const RETRY_MS = 1_000

/**
 * Each change is an event without a name, so that `onmessage` sees it; its id is the cursor. A comment comes at least every heartbeat,
 * with an id where the cursor has moved on without a change of this owner. Ends at the end of the process, of its life, or on a fault.
 * Disposes of the watch when it ends.
 */
export const streamEvents = (parts: StreamParts, options: StreamOptions = {}): ReadableStream<Uint8Array> => {
  const { heartbeatMs = 15_000, lifetimeMs = 15 * 60_000 } = options
  const over = new AbortController()
  const chunks = texts(parts, heartbeatMs, over.signal)
  const encoder = new TextEncoder()
  const end = () => {
    if (over.signal.aborted) return
    over.abort()
    parts.watch[Symbol.dispose]()
    clearTimeout(timer)
    timer = setTimeout(parts.cut, heartbeatMs).unref()
  }
  const leave = () => {
    end()
    clearTimeout(timer)
  }
  // A timer, since who does not read asks for nothing more, and would keep its place.
  let timer = setTimeout(end, lifetimeMs).unref()
  // Beside `cancel`, which does not come to a stream that nobody has begun to read.
  parts.signal.addEventListener('abort', leave, { once: true })
  if (parts.signal.aborted) leave()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const step = await chunks.next()
      if (!step.done) controller.enqueue(encoder.encode(step.value))
      else {
        end()
        controller.close()
      }
    },
    cancel: leave,
  })
}

async function* texts(parts: StreamParts, heartbeatMs: number, over: AbortSignal): AsyncGenerator<string> {
  const { feed, watch, ownerId, cursorOf, textOf, onFault } = parts
  const ended = () => over.aborted || watch.closing.aborted
  let position = parts.from
  yield `retry: ${RETRY_MS}\n\n`
  try {
    while (!ended()) {
      const page = await feed.page(ownerId, position, PAGE)
      position = page.next
      const events = page.changes
        .map((change) => `id: ${cursorOf(change.position)}\ndata: ${textOf(change)}\n\n`)
        .join('')
      yield `${events}: heartbeat\nid: ${cursorOf(position)}\n\n`
      if (!page.hasMore) await watch.changed(heartbeatMs)
    }
  } catch (error) {
    // The answer has begun: who comes back is told what is wrong, with a status.
    onFault(error)
  }
}
