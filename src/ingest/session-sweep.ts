/** The end of uploads that nobody completes: expired sessions, and bytes that belong to no session any more. */
import type { ChunkStore } from '../blobs/chunk-store.ts'
import type { Locker } from '../coordination/coordination.ts'
import type { UploadId } from '../core/ids.ts'
import { repeat } from '../core/repeat.ts'
import type { Metadata } from '../metadata/database.ts'
import { dropPieces } from '../metadata/upload-pieces.ts'
import {
  dropEndedSessions,
  findExpiredSessions,
  findSession,
  setSessionOutcome,
  withoutOpenSession,
} from '../metadata/upload-sessions.ts'
import { advance } from './session.ts'

/** Ended in one go; each is a transaction of its own. */
const BATCH = 200
/** A session that is being completed is left for the next sweep. */
const LOCK_WAIT_MS = 1_000
/** An ended session is remembered for a day after its time, to say what became of it. */
const REMEMBER_MS = 24 * 60 * 60 * 1000

export interface SweepPorts {
  readonly metadata: Metadata
  readonly chunks: ChunkStore
  readonly locker: Locker
  /** Told of what failed; the next sweep tries again. */
  readonly onFault: (error: unknown) => void
}

export interface SweepOptions {
  readonly sweepIntervalMs: number
  /** Between two walks over all bytes of sessions; the first is at start. */
  readonly scanIntervalMs: number
}

export interface SweepStats {
  sweeps: number
  scans: number
  expired: number
  forgotten: number
  orphansRemoved: number
  faults: number
}

export interface SessionSweep extends AsyncDisposable {
  readonly stats: Readonly<SweepStats>
  /** Ends what has expired, now. */
  sweep(signal: AbortSignal): Promise<void>
  /** Removes bytes of no open session, now. */
  scan(signal: AbortSignal): Promise<void>
  /** Both on schedule, from now until disposed. */
  start(): void
}

export const createSessionSweep = (ports: SweepPorts, options: SweepOptions): SessionSweep => {
  const stats: SweepStats = { sweeps: 0, scans: 0, expired: 0, forgotten: 0, orphansRemoved: 0, faults: 0 }
  const stop = new AbortController()
  let running: readonly Promise<void>[] = []
  const fault = (error: unknown): void => {
    if (stop.signal.aborted) return
    stats.faults += 1
    ports.onFault(error)
  }

  const sweep = async (signal: AbortSignal): Promise<void> => {
    await using _lease = await ports.locker.acquire('uploads:sweep', signal)
    const due = await findExpiredSessions(ports.metadata.search, new Date(), BATCH)
    for (const { id } of due) {
      signal.throwIfAborted()
      if (await expire(ports, id, signal).catch(fault)) stats.expired += 1
    }
    const before = new Date(Date.now() - REMEMBER_MS)
    stats.forgotten += await ports.metadata.transaction((transaction) => dropEndedSessions(transaction, before))
    stats.sweeps += 1
  }

  const scan = async (signal: AbortSignal): Promise<void> => {
    await using _lease = await ports.locker.acquire('uploads:scan', signal)
    let batch: UploadId[] = []
    const judge = async () => {
      for (const id of await withoutOpenSession(ports.metadata.search, batch)) {
        // What cannot be removed holds up nothing that is behind it.
        const removed = await ports.chunks.remove(id).then(() => true, fault)
        if (removed) stats.orphansRemoved += 1
      }
      batch = []
    }
    for await (const { id } of ports.chunks.list()) {
      signal.throwIfAborted()
      batch.push(id)
      if (batch.length >= BATCH) await judge()
    }
    await judge()
    stats.scans += 1
  }

  return {
    stats,
    sweep,
    scan,
    start: () => {
      running = [
        repeat({ everyMs: options.sweepIntervalMs, run: sweep, onFault: fault }, stop.signal),
        repeat({ everyMs: options.scanIntervalMs, run: scan, onFault: fault }, stop.signal),
      ]
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await Promise.all(running)
    },
  }
}

/** @returns whether it was there and is now expired. */
const expire = async (
  { metadata, chunks, locker }: SweepPorts,
  id: UploadId,
  signal: AbortSignal,
): Promise<boolean> => {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(LOCK_WAIT_MS)])
  await using _lease = await locker.acquire(`upload:${id}`, patience)
  const ended = await metadata.transaction(async (transaction) => {
    const session = await findSession(transaction, id)
    const now = new Date()
    if (!session || session.expiresAt > now) return false
    const state = advance(session, 'expire', now)
    await setSessionOutcome(transaction, id, { state })
    await dropPieces(transaction, id)
    return state === 'expired'
  })
  if (ended) await chunks.remove(id)
  return ended
}
