/** Lines of text waiting for the disk: bounded in rows and bytes, written in batches, one write under way at a time. */

/** What became of a batch: written and synced, refused by the disk budget, or lost to a disk fault. */
export type AppendOutcome = 'recorded' | 'over-budget' | 'failed'
/** Writes `rows` whole lines. Never rejects. */
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

/** Joining 2,048 lines and copying them out takes 0.15–0.5 ms (measured): a batch must not be felt in another request's latency. */
const BATCH_ROWS = 2048

/** Lines reach `append` in the order of `push`; `settled` is told what became of each batch. */
export const createLineBuffer = (
  append: Append,
  settled: (outcome: AppendOutcome, rows: number) => void,
  options: LineBufferOptions = {},
): LineBuffer => {
  const { flushMs = 250, maxRows = 65_536, maxBytes = 32 * 2 ** 20 } = options
  const full: string[][] = []
  let batch: string[] = []
  let heldRows = 0
  let heldBytes = 0
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined

  const write = async (): Promise<void> => {
    for (let lines = full.shift(); lines !== undefined; lines = full.shift()) {
      const bytes = Buffer.from(lines.join(''), 'latin1')
      settled(await append(bytes, lines.length), lines.length)
      heldRows -= lines.length
      heldBytes -= bytes.length
    }
    writing = undefined
  }
  const flush = (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    if (batch.length > 0) full.push(batch)
    batch = []
    // Never started with nothing to do: it would end before it is assigned, and look as if it were still under way.
    if (full.length > 0) writing ??= write()
    return writing ?? Promise.resolve()
  }
  return {
    push: (line) => {
      if (heldRows >= maxRows || heldBytes >= maxBytes) return false
      batch.push(line)
      heldRows++
      heldBytes += line.length
      if (batch.length >= BATCH_ROWS) void flush()
      else timer ??= setTimeout(() => void flush(), flushMs).unref()
      return true
    },
    flush,
  }
}
