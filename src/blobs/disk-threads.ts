/** The event loop's end of the threads that write originals: a line of jobs, given to whichever is free. */
import { Worker } from 'node:worker_threads'
import { AppError } from '../core/errors.ts'
import type { DiskJob, DiskReply, NewFile } from './disk-job.ts'

/**
 * A thread spends most of a file, two syncs, waiting for the disk. On one machine of 2 cores four threads and eight made as many uploads a
 * second; on another, where a synced file of 100 KB takes 0.9 ms alone, eight made 8 % more (medians of seven, in turns). A thread takes some 5 MB.
 */
const THREADS = 8
/** Given in one message where more wait than there are threads: waking a thread costs as much as the message itself. */
const MAX_JOBS = 4
/** Messages that a thread may have before it: it goes on from one to the next without being woken, which costs the event loop 40 µs. */
const MAX_AHEAD = 2
/** Uploads are bounded before they come here (`ingest/admission`: 128); this is the bound where nobody else keeps one. */
const MAX_WAITING = 1024

export interface DiskThreadsStats {
  /** Now: threads at work, and jobs in line. */
  running: number
  waiting: number
  /** Since start. */
  done: number
  failed: number
}

export interface DiskThreads extends AsyncDisposable {
  readonly stats: Readonly<DiskThreadsStats>
  /**
   * A new file, durable under its name when this resolves. @returns the slab, which is lost meanwhile, and for good on an error; the
   * caller then removes what is at `path`.
   * @throws Error with the system's `code`; AppError `busy` when the line is full, `internal` when the thread died.
   */
  store(file: NewFile): Promise<Buffer>
  /** A file whose bytes are durable gets its name, durably. @throws as `store`. */
  move(path: string, to: string): Promise<void>
}

interface Waiting {
  readonly job: DiskJob
  readonly resolve: (slab: Uint8Array | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Threads start with the first jobs that need them. */
export const createDiskThreads = (limit = THREADS): DiskThreads => {
  const stats: DiskThreadsStats = { running: 0, waiting: 0, done: 0, failed: 0 }
  const line: Waiting[] = []
  /** Of each thread, the calls of the messages that it has not answered, oldest first. */
  const given = new Map<Worker, (readonly Waiting[])[]>()
  let closing: (() => void) | undefined

  const start = (): Worker => {
    const thread = new Worker(new URL('./disk-thread.ts', import.meta.url))
    given.set(thread, [])
    thread.on('message', (replies: readonly DiskReply[]) => {
      const calls = given.get(thread)?.shift() ?? []
      restIfFree(thread)
      giveNext()
      for (const [i, reply] of replies.entries()) {
        stats[reply.kind] += 1
        if (reply.kind === 'done') calls[i]?.resolve(reply.slab)
        else calls[i]?.reject(Object.assign(new Error(reply.message), { code: reply.code }))
      }
    })
    thread.on('error', (cause) => bury(thread, cause))
    thread.on('exit', () => bury(thread, undefined))
    return thread
  }

  /** A free thread keeps no process alive that has nothing else to do. */
  const restIfFree = (thread: Worker): void => {
    if ((given.get(thread)?.length ?? 0) > 0) return
    thread.unref()
    stats.running -= 1
    if (stats.running === 0) closing?.()
  }

  /** What it was doing is not known to be done; the next job starts another. */
  const bury = (thread: Worker, cause: unknown): void => {
    const lost = given.get(thread)
    if (!lost) return
    given.delete(thread)
    if (lost.length > 0) restIfFree(thread)
    const error = new AppError('internal', 'a thread that writes originals died', { cause })
    for (const { reject } of lost.flat()) reject(error)
    giveNext()
  }

  /** A thread with nothing to do, else a new one, else one that has a place for another message. */
  const freest = (): Worker | undefined => {
    let chosen: Worker | undefined
    let ahead = MAX_AHEAD
    for (const [thread, messages] of given) {
      if (messages.length >= ahead) continue
      chosen = thread
      ahead = messages.length
    }
    return ahead > 0 && given.size < limit ? start() : chosen
  }

  const giveNext = (): void => {
    const thread = line.length > 0 ? freest() : undefined
    if (thread) give(thread, line.splice(0, Math.min(MAX_JOBS, Math.ceil(line.length / limit))))
    stats.waiting = line.length
  }

  const give = (thread: Worker, calls: readonly Waiting[]): void => {
    const messages = given.get(thread)
    if (messages?.push(calls) === 1) {
      thread.ref()
      stats.running += 1
    }
    const jobs = calls.map(({ job }) => job)
    thread.postMessage(
      jobs,
      jobs.flatMap((job) => (job.kind === 'store' ? [job.slab.buffer as ArrayBuffer] : [])),
    )
  }

  const run = (job: DiskJob): Promise<Uint8Array | undefined> =>
    new Promise((resolve, reject) => {
      if (line.length >= MAX_WAITING) return reject(new AppError('busy', 'too many files wait for the disk'))
      line.push({ job, resolve, reject })
      giveNext()
    })

  return {
    stats,
    store: async (file) => {
      const given = await run({ kind: 'store', ...file })
      return given ? Buffer.from(given.buffer, given.byteOffset, given.byteLength) : Buffer.alloc(0)
    },
    move: async (path, to) => void (await run({ kind: 'move', path, to })),
    [Symbol.asyncDispose]: async () => {
      if (stats.running > 0) await new Promise<void>((resolve) => (closing = resolve))
      await Promise.all([...given.keys()].map((thread) => thread.terminate()))
    },
  }
}
