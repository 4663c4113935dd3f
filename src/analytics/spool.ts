/** Delivery events on disk between memory and the column engine: a queue of segment files, oldest first, within a byte budget. */

import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AppendOutcome } from './frame-buffer.ts'
import type { AnalyticsLog } from './log.ts'
import { type Recovered, readyFileName, recoverSegments, type Segment, syncFolder } from './spool-recovery.ts'

export interface SpoolOptions {
  /** Folder of this process alone; made if missing. */
  readonly dir: string
  /** Most bytes of all segments together; the newest events are dropped over it. Default 1 GiB, some 60 million events. */
  readonly spoolBudgetBytes?: number
  /** A segment of this size is closed and the next begun. Default 1 MiB: some 60,000 events, one insert of 13 MB and 0.4 s. */
  readonly segmentBytes?: number
  readonly log: AnalyticsLog
}

export interface SpoolStats {
  readonly bytes: number
  readonly segments: number
  /** Rows of segments that the engine refused for their content; kept under `rejected/` until newer ones push them out. */
  readonly rejectedRows: number
  readonly rejectedSegments: number
  /** Rows found on disk at the start: recorded before a restart, not yet in the engine. */
  readonly recoveredRows: number
}

export interface Spool {
  /** Writes a frame and syncs it. Resolves `recorded` only when a crash can no longer lose it. Never rejects. */
  append(frame: Uint8Array, rows: number): Promise<AppendOutcome>
  /** Ends the segment being written, so that `ready` lists everything appended before the call. */
  seal(): Promise<void>
  /** Segments that nothing is written to any more, oldest first. */
  ready(): readonly Segment[]
  /** The engine has it. */
  remove(segment: Segment): Promise<void>
  /** The engine will never take it: out of the queue, kept aside for a person to look at. */
  reject(segment: Segment): Promise<void>
  /** Bytes waiting and the age of the oldest, the segment being written included. */
  backlog(): { readonly bytes: number; readonly oldestMs: number }
  readonly stats: SpoolStats
  close(): Promise<void>
}

/** Rejected segments kept: 16 × 1 MiB at most, enough to see what went wrong. */
const MAX_REJECTED = 16

/** The segment being written. Its name is the deduplication token of its insert. */
interface OpenSegment {
  readonly handle: FileHandle
  readonly token: string
  readonly path: string
  readonly since: number
  bytes: number
  rows: number
}

/**
 * Opens the queue, taking over what an earlier process left: segments it was writing are cut to their last whole frame.
 * @throws when the folder can be neither made nor read.
 */
export const openSpool = async (options: SpoolOptions): Promise<Spool> => {
  await mkdir(join(options.dir, 'rejected'), { recursive: true })
  return new SegmentQueue(options, await recoverSegments(options.dir, options.log))
}

class SegmentQueue implements Spool {
  readonly #dir: string
  readonly #log: AnalyticsLog
  readonly #budgetBytes: number
  readonly #segmentBytes: number
  readonly #inTurn = createTurns()
  readonly #rejected: string[]
  readonly #recoveredRows: number
  #queue: readonly Segment[]
  #current: OpenSegment | undefined
  #sequence: number
  #rejectedRows = 0
  #rejectedSegments = 0

  constructor(options: SpoolOptions, recovered: Recovered) {
    this.#dir = options.dir
    this.#log = options.log
    this.#budgetBytes = options.spoolBudgetBytes ?? 2 ** 30
    this.#segmentBytes = options.segmentBytes ?? 2 ** 20
    this.#queue = recovered.segments
    this.#sequence = recovered.nextSequence
    this.#rejected = [...recovered.rejected]
    this.#recoveredRows = recovered.segments.reduce((sum, segment) => sum + segment.rows, 0)
  }

  append(frame: Uint8Array, rows: number): Promise<AppendOutcome> {
    return this.#inTurn(() => this.#write(frame, rows))
  }

  seal(): Promise<void> {
    return this.#inTurn(() => this.#seal())
  }

  close(): Promise<void> {
    return this.seal()
  }

  ready(): readonly Segment[] {
    return this.#queue
  }

  async remove(segment: Segment): Promise<void> {
    await rm(segment.path, { force: true })
    this.#queue = this.#queue.filter((other) => other !== segment)
  }

  async reject(segment: Segment): Promise<void> {
    const path = join(this.#dir, 'rejected', readyFileName(segment.token, segment.rows))
    await rename(segment.path, path)
    this.#queue = this.#queue.filter((other) => other !== segment)
    this.#rejectedSegments++
    this.#rejectedRows += segment.rows
    this.#rejected.push(path)
    const surplus = this.#rejected.splice(0, Math.max(0, this.#rejected.length - MAX_REJECTED))
    for (const old of surplus) await rm(old, { force: true })
  }

  backlog(): { readonly bytes: number; readonly oldestMs: number } {
    const writing = this.#current !== undefined && this.#current.rows > 0 ? this.#current : undefined
    const since = this.#queue[0]?.since ?? writing?.since
    const oldestMs = since === undefined ? 0 : Math.max(0, Date.now() - since)
    return { bytes: this.#readyBytes() + (writing?.bytes ?? 0), oldestMs }
  }

  get stats(): SpoolStats {
    return {
      bytes: this.#readyBytes() + (this.#current?.bytes ?? 0),
      segments: this.#queue.length + (this.#current === undefined ? 0 : 1),
      rejectedRows: this.#rejectedRows,
      rejectedSegments: this.#rejectedSegments,
      recoveredRows: this.#recoveredRows,
    }
  }

  #readyBytes(): number {
    return this.#queue.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  async #begin(): Promise<OpenSegment> {
    const token = `${String(this.#sequence++).padStart(12, '0')}-${randomBytes(6).toString('hex')}`
    const path = join(this.#dir, `${token}.open`)
    const handle = await open(path, 'wx', 0o600)
    const segment = { handle, token, path, since: Date.now(), bytes: 0, rows: 0 }
    this.#current = segment
    await syncFolder(this.#dir)
    return segment
  }

  async #write(frame: Uint8Array, rows: number): Promise<AppendOutcome> {
    if (this.stats.bytes + frame.length > this.#budgetBytes) return 'over-budget'
    try {
      const segment = this.#current ?? (await this.#begin())
      await segment.handle.writeFile(frame)
      await segment.handle.datasync()
      segment.bytes += frame.length
      segment.rows += rows
    } catch (err) {
      this.#log.error({ err, rows }, 'analytics: events lost, the spool cannot be written')
      await this.#leave(() => this.#abandon())
      return 'failed'
    }
    if (this.#current !== undefined && this.#current.bytes >= this.#segmentBytes) await this.#leave(() => this.#seal())
    return 'recorded'
  }

  // After a failed write or sync nobody knows what is on disk, and a second fsync may lie: back to the last synced frame.
  async #abandon(): Promise<void> {
    await this.#current?.handle.truncate(this.#current.bytes)
    await this.#seal()
  }

  async #seal(): Promise<void> {
    const segment = this.#current
    if (segment === undefined) return
    this.#current = undefined
    await segment.handle.close()
    if (segment.rows === 0) return rm(segment.path, { force: true })
    const { token, rows, bytes, since } = segment
    const path = join(this.#dir, readyFileName(token, rows))
    await rename(segment.path, path)
    this.#queue = [...this.#queue, { token, path, rows, bytes, since }]
  }

  /** What was synced is safe under either name; a segment that cannot be renamed now is taken over at the next start. */
  async #leave(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (err) {
      await this.#current?.handle.close().catch(() => undefined)
      this.#current = undefined
      this.#log.error({ err }, 'analytics: spool segment left for the next start')
    }
  }
}

/** One at a time, in the order of the calls; a failure is its caller's alone. */
const createTurns = () => {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work)
    last = mine.catch(() => undefined)
    return mine
  }
}
