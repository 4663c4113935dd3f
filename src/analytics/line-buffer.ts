/** Lines of text waiting for the disk: bounded in rows and bytes, written in batches, one write under way at a time. */

/** What became of a batch: written and synced, refused by the disk budget, or lost to a disk fault. */
export type AppendOutcome = 'recorded' | 'over-budget' | 'failed'
/** Writes `rows` whole lines; the bytes are the writer's until it settles. Never rejects. */
export type Append = (lines: Uint8Array, rows: number) => Promise<AppendOutcome>

export interface LineBufferOptions {
  /** Longest a line waits in memory before it is on its way to disk. Default 250 ms. */
  readonly flushMs?: number
  /** Most lines held in memory, buffered and being written. Default 65,536. */
  readonly maxRows?: number
  /** The same in bytes. Default 32 MiB: 65,536 events of 220 bytes are 14 MB, the rest is for long values. */
  readonly maxBytes?: number
}

export interface LineBuffer {
  /** False when the buffer is full: the line was not taken. The line is ASCII. */
  push(line: string): boolean
  /** Resolves when every line pushed so far has been written or dropped. Never rejects. */
  flush(): Promise<void>
}

/** About 2,400 lines. A line that is longer than a whole batch gets a batch of its own. */
const BATCH_BYTES = 512 * 1024
/** Lines joined before they become bytes: the call out of JavaScript costs as much as copying one of them. */
const LINES_AT_ONCE = 32
/** Batches kept for use again: the one being filled and the one being written, as a rule. */
const SPARE_BATCHES = 2

/**
 * Lines become bytes soon. Kept as strings until the flush, 2,000 lines of ten joined pieces each would outlive two scavenges
 * and be copied in both.
 */
interface Batch {
  readonly bytes: Buffer
  used: number
  rows: number
}

/** Lines reach `append` in the order of `push`; `settled` is told what became of each batch. */
export const createLineBuffer = (
  append: Append,
  settled: (outcome: AppendOutcome, rows: number) => void,
  options: LineBufferOptions = {},
): LineBuffer => {
  const { flushMs = 250, maxRows = 65_536, maxBytes = 32 * 2 ** 20 } = options
  const spare: Batch[] = []
  const full: Batch[] = []
  let filling: Batch | undefined
  let joined = ''
  let joinedRows = 0
  let heldRows = 0
  let heldBytes = 0
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined

  const batchFor = (length: number): Batch => {
    if (filling && filling.used + length <= filling.bytes.length) return filling
    if (filling) full.push(filling)
    filling =
      length <= BATCH_BYTES
        ? (spare.pop() ?? { bytes: Buffer.allocUnsafeSlow(BATCH_BYTES), used: 0, rows: 0 })
        : { bytes: Buffer.allocUnsafeSlow(length), used: 0, rows: 0 }
    return filling
  }

  const toBytes = (): void => {
    if (joinedRows === 0) return
    const batch = batchFor(joined.length)
    batch.used += batch.bytes.write(joined, batch.used, 'latin1')
    batch.rows += joinedRows
    joined = ''
    joinedRows = 0
  }

  const write = async (): Promise<void> => {
    for (let batch = full.shift(); batch !== undefined; batch = full.shift()) {
      settled(await append(batch.bytes.subarray(0, batch.used), batch.rows), batch.rows)
      heldRows -= batch.rows
      heldBytes -= batch.used
      batch.used = 0
      batch.rows = 0
      if (spare.length < SPARE_BATCHES && batch.bytes.length === BATCH_BYTES) spare.push(batch)
    }
    writing = undefined
  }
  const startWriting = (): Promise<void> => {
    // Never started with nothing to do: it would end before it is assigned, and look as if it were still under way.
    if (full.length > 0) writing ??= write()
    return writing ?? Promise.resolve()
  }
  const flush = (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    toBytes()
    if (filling && filling.rows > 0) full.push(filling)
    filling = undefined
    return startWriting()
  }
  return {
    push: (line) => {
      if (heldRows >= maxRows || heldBytes >= maxBytes) return false
      joined += line
      heldRows++
      heldBytes += line.length
      if (++joinedRows >= LINES_AT_ONCE) {
        toBytes()
        if (full.length > 0) void startWriting()
      }
      timer ??= setTimeout(() => void flush(), flushMs).unref()
      return true
    },
    flush,
  }
}
