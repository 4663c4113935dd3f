/**
 * Notes which originals are read, coarsely: on the read path a look into memory, once a minute a statement for those that were not noted
 * in the last day. What was noted in the last minute of a process is lost with it, and counts again at the next use.
 */
import { LRUCache } from 'lru-cache'
import type { OriginalStore } from '../blobs/store.ts'
import type { Digest } from '../core/ids.ts'
import type { Metadata } from '../metadata/database.ts'
import { noteUses } from '../metadata/uses.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** Known to have been noted within the day: at some 150 bytes each 15 MB. One that is forgotten is held against its row again. */
const MAX_REMEMBERED = 100_000
/** Waiting to be written: 300 different originals a second for three minutes. Past it a use is dropped, and tried at the next. */
const MAX_WAITING = 50_000
const BATCH = 500

type Read = Pick<OriginalStore, 'open' | 'read'>

export interface Uses {
  /** The same store, each read noted. */
  noting(originals: Read): Read
  /** Writes what waits; answers how many rows that changed. @throws what `Metadata.transaction` throws; what was not written waits on. */
  flush(signal: AbortSignal): Promise<number>
  readonly stats: Readonly<{ noted: number; dropped: number; waiting: number }>
}

export const createUses = (metadata: Pick<Metadata, 'transaction'>): Uses => {
  const stats = { noted: 0, dropped: 0 }
  const remembered = new LRUCache<Digest, true>({ max: MAX_REMEMBERED, ttl: DAY_MS })
  const waiting = new Set<Digest>()

  const note = (digest: Digest): void => {
    if (remembered.has(digest)) return
    if (waiting.size >= MAX_WAITING) {
      stats.dropped += 1
      return
    }
    remembered.set(digest, true)
    waiting.add(digest)
    stats.noted += 1
  }

  return {
    noting: (originals) => ({
      open: (digest, signal) => {
        note(digest)
        return originals.open(digest, signal)
      },
      read: (digest, range, signal) => {
        note(digest)
        return originals.read(digest, range, signal)
      },
    }),
    flush: async (signal) => {
      let written = 0
      const all = [...waiting]
      for (let at = 0; at < all.length; at += BATCH) {
        signal.throwIfAborted()
        const batch = all.slice(at, at + BATCH)
        const now = new Date()
        const unlessAfter = new Date(now.getTime() - DAY_MS)
        written += await metadata.transaction((transaction) => noteUses(transaction, batch, now, unlessAfter))
        for (const digest of batch) waiting.delete(digest)
      }
      return written
    },
    get stats() {
      return { ...stats, waiting: waiting.size }
    },
  }
}
