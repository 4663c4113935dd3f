/** The collector: under a lease, from time to time, purges what is past its grace, bytes that no row knows, and what is past its quarantine. */
import type { OriginalLister } from '../blobs/store.ts'
import type { Locker } from '../coordination/coordination.ts'
import type { Digest } from '../core/ids.ts'
import { repeat } from '../core/repeat.ts'
import { findPastGrace } from '../metadata/assets.ts'
import { cutChanges } from '../metadata/changes.ts'
import type { Metadata } from '../metadata/database.ts'
import { dropOldEdgeJobs, dropOldEdgePurges } from '../metadata/edge-purges.ts'
import { dropExpiredIdempotency } from '../metadata/idempotency.ts'
import { dropExpiredOnce } from '../metadata/once.ts'
import { withoutRow } from '../metadata/originals.ts'
import { pageQuarantine } from '../metadata/quarantine.ts'
import { dropOldRemovals, findUnfinishedRemovals } from '../metadata/removals.ts'
import type { Purging } from './purge.ts'

/** Rows looked at in one go: each purge is a transaction of its own, so a batch holds nobody up. */
const BATCH = 200
/** Of one sweep: what cannot be removed holds up nothing behind it, but a store that is away is not asked for everything. Less than a batch. */
const MAX_FAULTS = 50

export interface CollectorPorts {
  readonly metadata: Metadata
  readonly originals: OriginalLister
  readonly purging: Purging
  readonly locker: Locker
  /** Told of a sweep that failed; the next one tries again. */
  readonly onFault: (error: unknown) => void
}

export interface CollectorOptions {
  readonly graceMs: number
  /** How long changes are kept for devices that sync. Default 90 days. */
  readonly changesMs?: number
  /** How long bytes that nothing refers to are kept all the same; 0: not at all. */
  readonly quarantineMs: number
  /** Between two sweeps for what is past its grace. */
  readonly sweepIntervalMs: number
  /** Between two walks over all originals for bytes without a row; the first is at start. */
  readonly scanIntervalMs: number
}

export interface CollectorStats {
  sweeps: number
  scans: number
  purged: number
  setAside: number
  originalsRemoved: number
  orphansRemoved: number
  idempotencyDropped: number
  onceDropped: number
  changesCut: number
  edgePurgesDropped: number
  edgeJobsDropped: number
  faults: number
}

export interface Collector extends AsyncDisposable {
  readonly stats: Readonly<CollectorStats>
  /** Purges all that is past its grace, and finishes removals that a process left in the middle, now. */
  sweep(signal: AbortSignal): Promise<void>
  /** Puts all bytes without a row that are older than the grace into quarantine, or removes them where there is none, now. */
  scan(signal: AbortSignal): Promise<void>
  /** Sweeps and scans on schedule, from now until disposed. */
  start(): void
}

export const createCollector = (ports: CollectorPorts, options: CollectorOptions): Collector => {
  const stats: CollectorStats = {
    sweeps: 0,
    scans: 0,
    purged: 0,
    setAside: 0,
    originalsRemoved: 0,
    orphansRemoved: 0,
    idempotencyDropped: 0,
    onceDropped: 0,
    changesCut: 0,
    edgePurgesDropped: 0,
    edgeJobsDropped: 0,
    faults: 0,
  }
  const { changesMs = 90 * 24 * 60 * 60 * 1000 } = options
  const stop = new AbortController()
  let running: readonly Promise<void>[] = []

  const sweep = async (signal: AbortSignal): Promise<void> => {
    await using _lease = await ports.locker.acquire('collect:sweep', signal)
    // Rows alone first: they need no store.
    const dropped = await ports.metadata.transaction((transaction) => dropExpiredIdempotency(transaction, new Date()))
    stats.idempotencyDropped += dropped
    await ports.metadata.transaction((transaction) => dropOldRemovals(transaction, new Date()))
    stats.onceDropped += await ports.metadata.transaction((transaction) => dropExpiredOnce(transaction, new Date()))
    stats.edgePurgesDropped += await ports.metadata.transaction((queries) => dropOldEdgePurges(queries, new Date()))
    stats.edgeJobsDropped += await ports.metadata.transaction((queries) => dropOldEdgeJobs(queries, new Date()))
    stats.changesCut += await cutChanges(ports.metadata, new Date(Date.now() - changesMs))
    const each = createEach(ports, stats, signal)
    await sweepPastGrace(ports, options, stats, each)
    await discardPastQuarantine(ports, options, stats, each)
    await finishRemovals(ports, stats, each)
    stats.sweeps += 1
  }
  const scan = async (signal: AbortSignal): Promise<void> => {
    await using _lease = await ports.locker.acquire('collect:scan', signal)
    await scanOrphans(ports, options, stats, signal)
    stats.scans += 1
  }
  const begin = (everyMs: number, run: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    const onFault = (error: unknown) => {
      stats.faults += 1
      ports.onFault(error)
    }
    return repeat({ everyMs, run, onFault }, stop.signal)
  }

  return {
    stats,
    sweep,
    scan,
    start: () => {
      running = [begin(options.sweepIntervalMs, sweep), begin(options.scanIntervalMs, scan)]
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await Promise.all(running)
    },
  }
}

/** Does one thing of a sweep, and tells its fault. @throws the signal's reason, and the fault after which a sweep gives up. */
type Each = (work: (signal: AbortSignal) => Promise<void>) => Promise<void>

const createEach = ({ onFault }: CollectorPorts, stats: CollectorStats, signal: AbortSignal): Each => {
  let faults = 0
  return async (work) => {
    signal.throwIfAborted()
    try {
      await work(signal)
    } catch (error) {
      signal.throwIfAborted()
      faults += 1
      if (faults >= MAX_FAULTS) throw error
      stats.faults += 1
      onFault(error)
    }
  }
}

const sweepPastGrace = async (
  { metadata, purging }: CollectorPorts,
  { graceMs, quarantineMs }: CollectorOptions,
  stats: CollectorStats,
  each: Each,
): Promise<void> => {
  const deletedBefore = new Date(Date.now() - graceMs)
  for (;;) {
    const due = await findPastGrace(metadata.search, deletedBefore, BATCH)
    const purgedBefore = stats.purged
    for (const asset of due) {
      await each(async (signal) => {
        const bytes = quarantineMs > 0 ? 'to quarantine' : 'removed'
        const outcome = await purging.purge(asset, { deletedBefore, bytes }, signal)
        if (outcome !== 'kept') stats.purged += 1
        if (outcome === 'last') stats[quarantineMs > 0 ? 'setAside' : 'originalsRemoved'] += 1
      })
    }
    // A batch of which nothing went would be the next batch too.
    if (due.length < BATCH || stats.purged === purgedBefore) return
  }
}

const discardPastQuarantine = async (
  { metadata, purging }: CollectorPorts,
  { quarantineMs }: CollectorOptions,
  stats: CollectorStats,
  each: Each,
): Promise<void> => {
  const before = new Date(Date.now() - quarantineMs)
  for (let after = { at: 0, digest: '' }; ; ) {
    const due = await pageQuarantine(metadata.search, { before, after, limit: BATCH })
    for (const { digest } of due) {
      await each(async (signal) => {
        if (await purging.discard(digest, before, signal)) stats.originalsRemoved += 1
      })
    }
    const last = due.at(-1)
    if (!last || due.length < BATCH) return
    after = { at: last.at.getTime(), digest: last.digest }
  }
}

const finishRemovals = async (
  { metadata, purging }: CollectorPorts,
  stats: CollectorStats,
  each: Each,
): Promise<void> => {
  for (const digest of await findUnfinishedRemovals(metadata.search, new Date(), BATCH)) {
    await each(async (signal) => {
      if (await purging.removeOrphan(digest, signal)) stats.originalsRemoved += 1
    })
  }
}

const scanOrphans = async (
  { metadata, originals, purging }: CollectorPorts,
  { graceMs, quarantineMs }: CollectorOptions,
  stats: CollectorStats,
  signal: AbortSignal,
): Promise<void> => {
  const storedBefore = Date.now() - graceMs
  let batch: Digest[] = []
  const judge = async () => {
    for (const digest of await withoutRow(metadata.search, batch)) {
      if (quarantineMs > 0) stats.setAside += (await purging.setAside(digest, signal)) ? 1 : 0
      else if (await purging.removeOrphan(digest, signal)) stats.orphansRemoved += 1
    }
    batch = []
  }
  for await (const { digest, storedAt } of originals.list()) {
    signal.throwIfAborted()
    if (storedAt.getTime() > storedBefore) continue
    batch.push(digest)
    if (batch.length >= BATCH) await judge()
  }
  await judge()
}
