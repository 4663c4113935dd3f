/**
 * Purges that an edge has not confirmed, tried again until it does: in memory, bounded, one after the other, with a pause that
 * doubles while the edge is down. What is here is lost with the process; a durable outbox would take this one's place.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../core/ids.ts'

/** ~100 B a hash: 1 MB an edge. Over it the oldest is dropped: an edge forgets by itself within a day (`EDGE_FRESH_SECONDS`). */
const MAX_PENDING = 10_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000

export interface PurgeRetries extends Disposable {
  /** Remembers a hash; the same hash twice is once. */
  add(digest: Digest): void
  readonly pending: number
  /** Forgotten because there were too many. */
  readonly dropped: number
}

/** @param attempt tries one purge; says whether the edge confirmed it. Never rejects. */
export const createPurgeRetries = (attempt: (digest: Digest) => Promise<boolean>): PurgeRetries => {
  const pending = new Set<Digest>()
  const stop = new AbortController()
  let dropped = 0
  let working = false

  const work = async (): Promise<void> => {
    let pauseMs = FIRST_PAUSE_MS
    while (pending.size > 0) {
      await sleep(pauseMs, undefined, { signal: stop.signal, ref: false })
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
      for (const digest of pending) {
        // Taken out first, so that a purge of the same hash that comes meanwhile is not lost.
        pending.delete(digest)
        const confirmed = await attempt(digest)
        stop.signal.throwIfAborted()
        if (confirmed) {
          pauseMs = FIRST_PAUSE_MS
          continue
        }
        pending.add(digest)
        break
      }
    }
  }

  return {
    add(digest) {
      pending.add(digest)
      for (const oldest of pending) {
        if (pending.size <= MAX_PENDING) break
        pending.delete(oldest)
        dropped += 1
      }
      if (working || stop.signal.aborted) return
      working = true
      // Only the end of the process stops it; then there is nobody to tell.
      void work()
        .catch(() => undefined)
        .finally(() => {
          working = false
        })
    },
    get pending() {
      return pending.size
    },
    get dropped() {
      return dropped
    },
    [Symbol.dispose]: () => stop.abort(),
  }
}
