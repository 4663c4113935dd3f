/**
 * The scrub: reads every original, at a bounded rate, and holds it against the hash that names it. Disks rot, and a store's own checks are
 * its own. What is not what it was is marked on its row: it stays listed, its variants stay served (they were made before, and have
 * checksums of their own), and nothing is made or sent of its bytes until they are uploaded again. Goes on where an earlier process stopped.
 */
import { createHash } from 'node:crypto'
import type { OriginalStore } from '../blobs/store.ts'
import type { ChangeNotices, Locker } from '../coordination/coordination.ts'
import type { OriginalFault } from '../core/asset.ts'
import type { Digest } from '../core/ids.ts'
import { findCondition, pageOriginals, setFault } from '../metadata/condition.ts'
import type { Metadata } from '../metadata/database.ts'
import { findProgress, saveProgress } from '../metadata/progress.ts'
import { createPace, type Pace } from './pace.ts'

export interface ScrubPorts {
  readonly metadata: Metadata
  readonly originals: OriginalStore
  readonly locker: Locker
  readonly notices: ChangeNotices
}

/** Of one pass over all originals; kept over restarts. */
export interface ScrubReport {
  readonly startedAt: string
  finishedAt: string | null
  checked: number
  bytes: number
  damaged: number
  missing: number
  /** Were marked, and are sound. */
  sound: number
  /** Could not be read this time; the next pass tries again. */
  unread: number
  /** The first of those with a fault. */
  readonly faulty: string[]
}

export interface Scrub {
  /** Goes on with the pass under way, or begins one, and works to its end. @throws the signal's reason when it aborts. */
  run(signal: AbortSignal): Promise<ScrubReport>
  /** Of the pass under way or the last one, whichever instance works on it. */
  report(): Promise<ScrubReport | undefined>
  readonly stats: Readonly<{ checked: number; bytes: number; damaged: number; missing: number; unread: number }>
}

const NAME = 'scrub'
const PAGE = 200
/** Where it stands is noted at least so often, in originals and bytes: what a restart does again. */
const NOTE_EVERY = 200
const NOTE_EVERY_BYTES = 256 * 1024 * 1024
const MAX_FAULTY = 100

export const createScrub = (ports: ScrubPorts, bytesPerSecond: number): Scrub => {
  const { metadata, locker } = ports
  const stats = { checked: 0, bytes: 0, damaged: 0, missing: 0, unread: 0 }

  const pass = async (position: string, report: ScrubReport, signal: AbortSignal): Promise<ScrubReport> => {
    const pace = createPace(bytesPerSecond)
    const note = (at: string) =>
      metadata.transaction((transaction) => saveProgress(transaction, NAME, { position: at, report, at: new Date() }))
    let after = position
    let unnoted = { originals: 0, bytes: 0 }
    try {
      for (;;) {
        const page = await pageOriginals(metadata.search, after, PAGE)
        for (const { digest, bytes } of page) {
          const outcome = await checkOne(ports, digest, pace, signal)
          count(report, outcome, digest, bytes)
          count(stats, outcome, digest, bytes)
          after = digest
          unnoted = { originals: unnoted.originals + 1, bytes: unnoted.bytes + bytes }
          if (unnoted.originals < NOTE_EVERY && unnoted.bytes < NOTE_EVERY_BYTES) continue
          await note(after)
          unnoted = { originals: 0, bytes: 0 }
        }
        if (page.length < PAGE) break
      }
      report.finishedAt = new Date().toISOString()
    } finally {
      await note(after)
    }
    return report
  }

  return {
    stats,
    report: async () => (await findProgress<ScrubReport>(metadata.search, NAME))?.report,
    run: async (signal) => {
      await using _lease = await locker.acquire(NAME, signal)
      const known = await findProgress<ScrubReport>(metadata.search, NAME)
      return known && known.report.finishedAt === null
        ? pass(known.position, known.report, signal)
        : pass('', begin(), signal)
    },
  }
}

const begin = (): ScrubReport => ({
  startedAt: new Date().toISOString(),
  finishedAt: null,
  checked: 0,
  bytes: 0,
  damaged: 0,
  missing: 0,
  sound: 0,
  unread: 0,
  faulty: [],
})

type Outcome = 'as before' | 'sound' | OriginalFault | 'unread' | 'gone'

const count = (
  into: { checked: number; bytes: number; damaged: number; missing: number; unread: number } & Partial<ScrubReport>,
  outcome: Outcome,
  digest: Digest,
  bytes: number,
): void => {
  into.checked += 1
  into.bytes += bytes
  if (outcome === 'damaged' || outcome === 'missing' || outcome === 'unread') into[outcome] += 1
  if (outcome === 'sound' && into.sound !== undefined) into.sound += 1
  if ((outcome === 'damaged' || outcome === 'missing') && into.faulty && into.faulty.length < MAX_FAULTY)
    into.faulty.push(digest)
}

/** Reads without the lock, since a read may take hours; what it finds is held against the row, and a fault looked at twice, under the lock. */
const checkOne = async (ports: ScrubPorts, digest: Digest, pace: Pace, signal: AbortSignal): Promise<Outcome> => {
  const { metadata, locker, notices } = ports
  const first = await faultOf(ports, digest, pace, signal)
  if (first === 'unread') return 'unread'
  const known = await findCondition(metadata.read, digest)
  if (!known) return 'gone'
  if (known.fault === first) return first ?? 'as before'
  await using _lease = await locker.acquire(`digest:${digest}`, signal)
  const fault = await faultOf(ports, digest, pace, signal)
  if (fault === 'unread') return 'unread'
  if (!(await findCondition(metadata.read, digest))) return 'gone'
  await metadata.transaction((transaction) => setFault(transaction, digest, fault))
  await notices.publish(digest)
  return fault ?? 'sound'
}

const faultOf = async (
  { originals }: ScrubPorts,
  digest: Digest,
  pace: Pace,
  signal: AbortSignal,
): Promise<OriginalFault | null | 'unread'> => {
  try {
    if ((await originals.size(digest)) === undefined) return 'missing'
    const hash = createHash('sha256')
    for await (const chunk of await originals.read(digest, undefined, signal)) {
      hash.update(chunk as Buffer)
      await pace.spend((chunk as Buffer).length, signal)
    }
    return hash.digest('hex') === digest ? null : 'damaged'
  } catch {
    signal.throwIfAborted()
    return 'unread'
  }
}
