/**
 * Purges that an edge has not confirmed, tried again until it does or has nothing left to forget: in memory, bounded, one after the other, with
 * a pause that doubles while the edge is down. What is here is lost with the process; a durable outbox would take this one's place.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { EDGE_MARK_MS } from '../core/edge-mark.ts'
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
  /** Given up because they were too old. */
  readonly expired: number
}

/**
 * @param attempt tries one purge; says whether the edge confirmed it. Never rejects.
 * @param onExpired told of each that is given up. @param now in milliseconds.
 */
export const createPurgeRetries = (
  attempt: (digest: Digest) => Promise<boolean>,
  onExpired: (digest: Digest, ageMs: number) => void,
  now: () => number = Date.now,
): PurgeRetries => {
  /** Since when. The order is that of the next tries. */
  const pending = new Map<Digest, number>()
  const stop = new AbortController()
  let dropped = 0
  let expired = 0
  let working = false
  /** Is told right now, and counts as pending until that has an end. */
  let telling: Digest | undefined

  const work = async (): Promise<void> => {
    let pauseMs = FIRST_PAUSE_MS
    while (pending.size > 0) {
      await sleep(pauseMs, undefined, { signal: stop.signal, ref: false })
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
      for (const [digest, since] of pending) {
        // Taken out first, so that a purge of the same hash that comes meanwhile is not lost.
        pending.delete(digest)
        const ageMs = now() - since
        // Each try renews the mark: an edge that never confirms would keep it for ever.
        if (ageMs > EDGE_MARK_MS) {
          expired += 1
          onExpired(digest, ageMs)
          continue
        }
        telling = digest
        const confirmed = await attempt(digest).finally(() => {
          telling = undefined
        })
        stop.signal.throwIfAborted()
        if (confirmed) {
          pauseMs = FIRST_PAUSE_MS
          continue
        }
        if (!pending.has(digest)) pending.set(digest, since)
        break
      }
    }
  }

  return {
    add(digest) {
      // What has changed again is as fresh as the change.
      pending.set(digest, now())
      for (const oldest of pending.keys()) {
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
      return pending.size + (telling === undefined || pending.has(telling) ? 0 : 1)
    },
    get dropped() {
      return dropped
    },
    get expired() {
      return expired
    },
    [Symbol.dispose]: () => stop.abort(),
  }
}
