/** The server's end of one renderer process: start, one job at a time, deadline, memory watch, kill. */
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { getCompileCacheDir } from 'node:module'
import { AppError } from '../core/errors.ts'
import type { Answer, Request } from './wire.ts'

export interface RendererProcessOptions {
  /** A job still running after this is killed. Milliseconds. */
  readonly deadlineMs: number
  /** A process larger than this is killed while it works. Bytes of resident memory. */
  readonly memoryLimitBytes: number
}

export type JobAnswer = Extract<Answer, { readonly kind: 'probed' | 'rendered' }>

/** How a job ended without an answer of its own. `stalled`: past its deadline without having worked for it. */
export type Fate = 'crashed' | 'stalled' | 'timed-out' | 'too-much-memory'

/** An AppError that also says what became of the process. */
export class RendererLost extends AppError {
  readonly fate: Fate

  constructor(fate: Fate, message: string) {
    if (fate === 'stalled') super('busy', message, { retryAfterSeconds: 1 })
    else super('undecodable', message)
    this.name = 'RendererLost'
    this.fate = fate
  }
}

/** Start-up takes 0.2–0.5 s here, several times that on a loaded machine. */
const START_TIMEOUT_MS = 20_000
/**
 * A drawing is a program: its cost is not bounded by its pixels. Honest ones of the corpus take under 0.3 s; nested `<use>`
 * bombs of 1 kB take for ever.
 */
const DRAWING_DEADLINE_MS = 5_000
/** /proc is read in some 20 µs; a decoder allocates at most about 1 GB/s, so 50 ms let it overshoot by 50 MB. */
const MEMORY_CHECK_MS = 50
const PAGE_BYTES = 4096

/** What a renderer keeps for its next picture. The limits of malloc(3): 64 MiB at the top of the heap, 32 MiB a single piece at most. */
const KEPT_BYTES = 64 * 2 ** 20

/**
 * Nothing of the server's environment (no secrets) and what keeps memory small: glibc's arenas are per thread and never give
 * back, so one; libuv needs a thread to decode and one to read. That one arena keeps what it frees: given back and taken anew
 * for every picture, its pages were 600 faults and 1.1 ms of a render of 23 (measured; resident memory is the same).
 */
const environment = () => ({
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: String(KEPT_BYTES / 2),
  MALLOC_TRIM_THRESHOLD_: String(KEPT_BYTES),
  VIPS_BLOCK_UNTRUSTED: '1',
  UV_THREADPOOL_SIZE: '2',
  TZ: 'UTC',
  // Where the server keeps compiled modules, if it does: it saves every renderer the type stripper's 20 MB.
  NODE_COMPILE_CACHE: getCompileCacheDir() ?? '',
})
/** The JavaScript side of a renderer holds a few hundred kB: small heaps, collected early. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=64']

const residentBytes = (pid: number): number => {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1] ?? 0) * PAGE_BYTES
  } catch {
    // Gone, or a system without /proc, where only the deadline guards.
    return 0
  }
}

/**
 * A picture that takes long computes; a process that was stopped, that waits for a disk or is starved by others does not, and its
 * picture is not to blame. Rendering takes 100 % of a core that nobody else wants, and 3.4 % of one that others want (`core/niceness.ts`).
 */
const STALLED_SHARE = 0.02
/** proc_pid_stat(5): utime and stime are in ticks, 100 a second on every Linux of ours (sysconf(_SC_CLK_TCK)). */
const TICK_MS = 10

/** Processor time that a process has taken, in ms; undefined on a system without /proc. */
const processorMs = (pid: number): number | undefined => {
  try {
    // Behind the name, which may contain anything: state is field 3, utime and stime are 14 and 15.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS
  } catch {
    return undefined
  }
}

interface Running {
  readonly resolve: (answer: JobAnswer) => void
  readonly reject: (error: Error) => void
  readonly stop: () => void
}

const isDrawing = (request: Request): boolean => request.kind === 'render' && request.job.facts.format === 'svg'

export class RendererProcess {
  readonly #child: ChildProcess
  readonly #options: RendererProcessOptions
  readonly #exited = Promise.withResolvers<void>()
  #running: Running | undefined
  #deadlineMs = 0
  #fate: Fate = 'crashed'
  #alive = true
  #jobs = 0
  #rssBytes = 0
  #processorMs = 0

  private constructor(child: ChildProcess, options: RendererProcessOptions) {
    this.#child = child
    this.#options = options
    child.on('message', (answer: Answer) => this.#settle(answer))
    child.on('exit', (code, signal) => {
      this.#alive = false
      const lose = (): void => this.#lose(signal ?? `exit code ${code}`)
      // `exit` may overtake what the channel still holds: the answer. `disconnect` comes after all of it.
      if (child.connected) child.once('disconnect', lose)
      else lose()
    })
    child.on('error', (error) => this.#lose(error.message))
  }

  /** @throws AppError `busy` when no process could be started: the machine's trouble, not the picture's. */
  static async start(options: RendererProcessOptions): Promise<RendererProcess> {
    const child = fork(new URL('./renderer.ts', import.meta.url), [], {
      execArgv: NODE_FLAGS,
      env: environment(),
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const renderer = new RendererProcess(child, options)
    const ready = new Promise<boolean>((resolve) => {
      child.once('message', () => resolve(true))
      void renderer.exited.then(() => resolve(false))
      setTimeout(() => resolve(false), START_TIMEOUT_MS).unref()
    })
    if (await ready) return renderer
    renderer.kill()
    throw new AppError('busy', 'no renderer process could be started', { retryAfterSeconds: 5 })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get alive(): boolean {
    return this.#alive
  }

  /** Jobs given to it so far, and resident memory as last reported or seen. */
  get jobs(): number {
    return this.#jobs
  }

  get rssBytes(): number {
    return this.#alive ? this.#rssBytes : 0
  }

  /** Resolves once the process is gone. */
  get exited(): Promise<void> {
    return this.#exited.promise
  }

  /**
   * The caller gives one job at a time.
   * @throws AppError as the renderer said; `RendererLost` (`undecodable`, or `busy` where it stood still) when the process ended first
   * or was ended.
   */
  run(request: Request): Promise<JobAnswer> {
    this.#jobs += 1
    return new Promise((resolve, reject) => {
      this.#deadlineMs = Math.min(this.#options.deadlineMs, isDrawing(request) ? DRAWING_DEADLINE_MS : Infinity)
      const deadline = setTimeout(() => this.#end(this.#hasWorked() ? 'timed-out' : 'stalled'), this.#deadlineMs)
      const memory = setInterval(() => this.#checkMemory(), MEMORY_CHECK_MS)
      const stop = (): void => {
        clearTimeout(deadline)
        clearInterval(memory)
      }
      this.#running = { resolve, reject, stop }
      // A send that fails means that the process is going; `exit` tells the rest.
      if (this.#alive) this.#child.send(request, () => undefined)
      else this.#lose('it had already ended')
    })
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Lets an idle process end by itself. */
  retire(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  #checkMemory(): void {
    this.#rssBytes = residentBytes(this.#child.pid ?? 0) || this.#rssBytes
    if (this.#rssBytes > this.#options.memoryLimitBytes) this.#end('too-much-memory')
  }

  /** Since its last answer, which was before this job: read from /proc only now: at each job it was 6 % of the server's own part of a render. */
  #hasWorked(): boolean {
    const now = processorMs(this.#child.pid ?? 0)
    return now === undefined || now - this.#processorMs >= STALLED_SHARE * this.#deadlineMs
  }

  #end(fate: Fate): void {
    this.#fate = fate
    this.kill()
  }

  #settle(answer: Answer): void {
    this.#rssBytes = answer.rssBytes
    this.#processorMs = answer.processorMs
    if (answer.kind === 'ready') return
    const running = this.#running
    this.#running = undefined
    running?.stop()
    if (answer.kind === 'failed') {
      const { kind, message, detail } = answer.failure
      running?.reject(new AppError(kind, message, { cause: detail }))
    } else {
      running?.resolve(answer)
    }
  }

  #lose(how: string): void {
    this.#alive = false
    this.#exited.resolve()
    const running = this.#running
    this.#running = undefined
    running?.stop()
    const message = {
      crashed: `the picture made its renderer crash (${how})`,
      stalled: 'the renderer stood still',
      'timed-out': `the picture took longer than ${this.#deadlineMs / 1000} s`,
      'too-much-memory': `the picture needs more than ${Math.round(this.#options.memoryLimitBytes / 2 ** 20)} MiB of memory`,
    }[this.#fate]
    running?.reject(new RendererLost(this.#fate, message))
  }
}
