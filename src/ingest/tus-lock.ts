/**
 * One request at a time for each tus upload, among all instances, by a lease; and who waits tells the holder to let go: the client has
 * come back, so the connection that holds the lock is dead (tus 1.0, "Server-Side Locking" of its FAQ). In this process by a call, in
 * another by a mark in the session's row, which the holder looks at.
 */
import { randomUUID } from 'node:crypto'
import type { Lock } from '@tus/server'
import type { Lease, Locker } from '../coordination/coordination.ts'
import { AppError } from '../core/errors.ts'
import type { UploadId } from '../core/ids.ts'
import type { Metadata } from '../metadata/database.ts'
import { claimSession, findClaim } from '../metadata/upload-sessions.ts'

/** A free lock is had sooner, and then no mark is written. */
const CLAIM_AFTER_MS = 250
/** Between two looks of a holder: one look-up by primary key. */
const LOOK_MS = 1_000
/** A holder that does not let go has 30 s of silence, and then what it writes. */
const WAIT_MS = 40_000

export interface TusLockPorts {
  readonly locker: Locker
  readonly metadata: Metadata
}

export interface TusLocks {
  readonly stats: { readonly held: number; readonly asked: number }
  /** @param settled resolves when the holder's write has ended: the lease is kept until then. */
  newLock(id: UploadId, settled: () => Promise<unknown>): Lock
}

export const createTusLocks = ({ locker, metadata }: TusLockPorts): TusLocks => {
  const holders = new Map<UploadId, () => void>()
  const stats = { held: 0, asked: 0 }

  const mark = (id: UploadId): Promise<void> =>
    metadata.transaction((transaction) => claimSession(transaction, id, randomUUID())).catch(() => undefined)

  const acquire = async (id: UploadId, signal: AbortSignal): Promise<Lease> => {
    const patience = AbortSignal.timeout(WAIT_MS)
    let marked: Promise<void> | undefined
    const slow = setTimeout(() => {
      marked = mark(id)
    }, CLAIM_AFTER_MS)
    try {
      const lease = await locker.acquire(`tus:${id}`, AbortSignal.any([signal, patience]))
      // What it reads next must be its own mark, or it would ask itself to let go.
      await marked
      return lease
    } catch (error) {
      if (error !== patience.reason) throw error
      throw new AppError('busy', `another request writes to the upload ${id}`, { cause: error, retryAfterSeconds: 5 })
    } finally {
      clearTimeout(slow)
    }
  }

  return {
    stats,
    newLock: (id, settled) => {
      let release = async (): Promise<void> => undefined
      return {
        lock: async (signal, requestRelease) => {
          holders.get(id)?.()
          const lease = await acquire(id, signal)
          const letGo = () => {
            stats.asked += 1
            void requestRelease()
          }
          const looking = lookForClaims(metadata, id, letGo)
          holders.set(id, letGo)
          stats.held += 1
          release = async () => {
            release = async () => undefined
            stats.held -= 1
            if (holders.get(id) === letGo) holders.delete(id)
            looking.stop()
            await settled().catch(() => undefined)
            await lease[Symbol.asyncDispose]()
          }
        },
        unlock: () => release(),
      }
    },
  }
}

/** Looks until it has seen a mark other than the first, or is stopped. */
const lookForClaims = (metadata: Metadata, id: UploadId, letGo: () => void): { stop(): void } => {
  const first = findClaim(metadata.read, id)
  const look = async (): Promise<void> => {
    if ((await findClaim(metadata.read, id)) === (await first)) return
    clearInterval(timer)
    letGo()
  }
  // A look that fails is made again.
  const timer = setInterval(() => void look().catch(() => undefined), LOOK_MS)
  first.catch(() => clearInterval(timer))
  return { stop: () => clearInterval(timer) }
}
