/** Events waiting for the disk: gathered in a frame, bounded in rows and bytes, written in order, one write under way at a time. */
import { createFrameBuilder, type SharedText } from './frame-builder.ts'

/** What became of a frame: written and synced, refused by the disk budget, or lost to a disk fault. */
export type AppendOutcome = 'recorded' | 'over-budget' | 'failed'
/** Writes a frame of `rows` events; the bytes are the writer's until it settles. Never rejects. */
export type Append = (frame: Uint8Array, rows: number) => Promise<AppendOutcome>

export interface FrameBufferOptions {
  /** Longest an event waits in memory before it is on its way to disk. Default 250 ms. */
  readonly flushMs?: number
  /** Most events held in memory, gathered and being written. Default 65,536. */
  readonly maxRows?: number
  /** The same in bytes. Default 32 MiB: 65,536 events that share no text are 14 MB, the rest is for long values. */
  readonly maxBytes?: number
}

export interface FrameBuffer {
  /** As `FrameBuilder.add`. False when the buffer is full: the event was not taken. */
  push(atMs: number, micros: number, client: string, subject: SharedText): boolean
  /** Resolves when every event pushed so far has been written or dropped. Never rejects. */
  flush(): Promise<void>
}

/** Frames reach `append` in the order of `push`; `settled` is told what became of each. */
export const createFrameBuffer = (
  append: Append,
  settled: (outcome: AppendOutcome, rows: number) => void,
  options: FrameBufferOptions = {},
): FrameBuffer => {
  const { flushMs = 250, maxRows = 65_536, maxBytes = 32 * 2 ** 20 } = options
  const filling = createFrameBuilder()
  const full: { readonly frame: Uint8Array; readonly rows: number }[] = []
  let heldRows = 0
  let heldBytes = 0
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined

  const seal = (): void => {
    const { rows } = filling
    if (rows === 0) return
    const frame = filling.take()
    full.push({ frame, rows })
    heldBytes += frame.length
  }
  const write = async (): Promise<void> => {
    for (let next = full.shift(); next !== undefined; next = full.shift()) {
      settled(await append(next.frame, next.rows), next.rows)
      heldRows -= next.rows
      heldBytes -= next.frame.length
    }
    writing = undefined
  }
  const flush = (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    seal()
    // Never started with nothing to do: it would end before it is assigned, and look as if it were still under way.
    if (full.length > 0) writing ??= write()
    return writing ?? Promise.resolve()
  }

  return {
    push: (atMs, micros, client, subject) => {
      if (heldRows >= maxRows || heldBytes + filling.bytes >= maxBytes) return false
      if (!filling.add(atMs, micros, client, subject)) {
        void flush()
        filling.add(atMs, micros, client, subject)
      }
      heldRows += 1
      timer ??= setTimeout(() => void flush(), flushMs).unref()
      return true
    },
    flush,
  }
}
