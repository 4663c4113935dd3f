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
  readonly running: number
  readonly waiting: number
  /** Since start. */
  readonly done: number
  readonly failed: number
}

export interface DiskThreads extends AsyncDisposable {
  readonly stats: DiskThreadsStats
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

/** Our end of one thread. */
interface Thread {
  /** Messages it has been given and has not answered. */
  readonly ahead: number
  give(calls: readonly Waiting[]): void
  end(): Promise<unknown>
}

interface ThreadEvents {
  readonly answered: (calls: readonly Waiting[], replies: readonly DiskReply[]) => void
  /** Once. What it was doing is not known to be done. */
  readonly died: (thread: Thread, calls: readonly Waiting[], cause: unknown) => void
}

const startThread = ({ answered, died }: ThreadEvents): Thread => {
  const worker = new Worker(new URL('./disk-thread.ts', import.meta.url))
  const unanswered: (readonly Waiting[])[] = []
  let dead = false
  const die = (cause: unknown): void => {
    if (dead) return
    dead = true
    died(thread, unanswered.splice(0).flat(), cause)
  }
  worker.on('message', (replies: readonly DiskReply[]) => {
    const calls = unanswered.shift() ?? []
    // A free thread keeps no process alive that has nothing else to do.
    if (unanswered.length === 0) worker.unref()
    answered(calls, replies)
  })
  worker.on('error', die)
  worker.on('exit', () => die(undefined))
  const thread: Thread = {
    get ahead() {
      return unanswered.length
    },
    give: (calls) => {
      if (unanswered.push(calls) === 1) worker.ref()
      const jobs = calls.map(({ job }) => job)
      const given = jobs.flatMap((job) => (job.kind === 'store' ? [job.slab.buffer as ArrayBuffer] : []))
      worker.postMessage(jobs, given)
    },
    end: () => worker.terminate(),
  }
  return thread
}

/** Threads start with the first jobs that need them. */
export const createDiskThreads = (limit = THREADS): DiskThreads => {
  const threads = new Set<Thread>()
  const line: Waiting[] = []
  let closing: (() => void) | undefined
  const stats = {
    get running() {
      return [...threads].filter(({ ahead }) => ahead > 0).length
    },
    get waiting() {
      return line.length
    },
    done: 0,
    failed: 0,
  }
  const closeIfDone = (): void => {
    if (closing && stats.running === 0) closing()
  }

  const events: ThreadEvents = {
    answered: (calls, replies) => {
      giveNext()
      for (const [i, reply] of replies.entries()) {
        stats[reply.kind] += 1
        if (reply.kind === 'done') calls[i]?.resolve(reply.slab)
        else calls[i]?.reject(Object.assign(new Error(reply.message), { code: reply.code }))
      }
      closeIfDone()
    },
    died: (thread, calls, cause) => {
      threads.delete(thread)
      const error = new AppError('internal', 'a thread that writes originals died', { cause })
      for (const { reject } of calls) reject(error)
      giveNext()
      closeIfDone()
    },
  }

  /** A thread with nothing to do, else a new one, else one that has a place for another message. */
  const freest = (): Thread | undefined => {
    const chosen = [...threads].reduce<Thread | undefined>(
      (best, thread) => (thread.ahead < (best?.ahead ?? MAX_AHEAD) ? thread : best),
      undefined,
    )
    if (chosen?.ahead === 0 || threads.size >= limit) return chosen
    const thread = startThread(events)
    threads.add(thread)
    return thread
  }

  const giveNext = (): void => {
    const thread = line.length > 0 ? freest() : undefined
    thread?.give(line.splice(0, Math.min(MAX_JOBS, Math.ceil(line.length / limit))))
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
      await Promise.all([...threads].map((thread) => thread.end()))
    },
  }
}
