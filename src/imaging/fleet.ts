/** The renderer processes themselves: started when first needed, kept, replaced before they are worn out. */
import { AppError } from '../core/errors.ts'
import {
  type Fate,
  type JobAnswer,
  RendererLost,
  RendererProcess,
  type RendererProcessOptions,
} from './renderer-process.ts'
import type { Request } from './wire.ts'

export interface FleetOptions extends RendererProcessOptions {
  /** A process is replaced after so many jobs, … */
  readonly recycleAfterJobs: number
  /** … or once it is larger than this between two jobs. Bytes of resident memory. */
  readonly recycleAboveBytes: number
  /** Spare processes beyond `keep` end after being idle for so long. Milliseconds. */
  readonly idleMs: number
  /** Idle processes that are kept however long they idle. */
  readonly keep: number
}

export interface FleetCounters {
  started: number
  recycled: number
  crashed: number
  stalled: number
  timedOut: number
  outOfMemory: number
}

const FATE_COUNTER = {
  crashed: 'crashed',
  stalled: 'stalled',
  'timed-out': 'timedOut',
  'too-much-memory': 'outOfMemory',
} as const satisfies Record<Fate, keyof FleetCounters>

/** Not a job that took too long or ate memory: it has had its time, and would take as much again. */
const mayBeLuckier = (error: unknown): boolean =>
  error instanceof RendererLost && (error.fate === 'crashed' || error.fate === 'stalled')

const closing = (): AppError => new AppError('busy', 'the renderers are shutting down', { retryAfterSeconds: 5 })

export class Fleet {
  readonly counters: FleetCounters = { started: 0, recycled: 0, crashed: 0, stalled: 0, timedOut: 0, outOfMemory: 0 }
  readonly #options: FleetOptions
  /** Last in, first out: the warmest caches work, and what is not needed goes idle. */
  readonly #idle: RendererProcess[] = []
  readonly #all = new Set<RendererProcess>()
  /** The replacement for a worn process, and its start-up. */
  #spare: RendererProcess | undefined
  #preparing: Promise<void> | undefined
  #closed = false

  constructor(options: FleetOptions) {
    this.#options = options
  }

  get pids(): readonly number[] {
    return [...this.#all].flatMap(({ pid }) => pid ?? [])
  }

  get rssBytes(): number {
    return [...this.#all].reduce((sum, { rssBytes }) => sum + rssBytes, 0)
  }

  /** Starts processes until `count` are idle or working. @throws AppError `busy` when one could not be started. */
  async warm(count: number): Promise<void> {
    const missing = Math.max(0, count - this.#all.size)
    const started = await Promise.all(Array.from({ length: missing }, () => this.#start()))
    for (const renderer of started) this.#rest(renderer)
  }

  /**
   * A job whose process ends, or stands still, gets one other: that may have had a reason of its own, such as a machine out of
   * memory. Two crashes in a row are the picture's doing.
   * @throws AppError as `RendererProcess.start` and `RendererProcess.run` do; `busy` where the fleet was closed.
   */
  async run(request: Request): Promise<JobAnswer> {
    try {
      return await this.#attempt(request)
    } catch (error) {
      if (!mayBeLuckier(error)) throw error
      return await this.#attempt(request)
    }
  }

  async #attempt(request: Request): Promise<JobAnswer> {
    if (this.#closed) throw closing()
    const renderer = this.#pop() ?? (await this.#start())
    try {
      return await renderer.run(request)
    } catch (error) {
      if (this.#closed && error instanceof RendererLost) throw closing()
      if (error instanceof RendererLost) this.counters[FATE_COUNTER[error.fate]] += 1
      throw error
    } finally {
      this.#rest(renderer)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#preparing
    const gone = [...this.#all].map((renderer) => {
      renderer.kill()
      return renderer.exited
    })
    await Promise.all(gone)
  }

  #pop(): RendererProcess | undefined {
    for (let renderer = this.#idle.pop(); renderer; renderer = this.#idle.pop()) if (renderer.alive) return renderer
    const spare = this.#spare?.alive ? this.#spare : undefined
    this.#spare = undefined
    return spare
  }

  async #start(): Promise<RendererProcess> {
    const renderer = await RendererProcess.start(this.#options)
    this.counters.started += 1
    this.#all.add(renderer)
    void renderer.exited.then(() => this.#all.delete(renderer))
    if (this.#closed) renderer.kill()
    return renderer
  }

  /** Back to the idle. A worn process works on until its replacement is ready, so that throughput does not dip. */
  #rest(renderer: RendererProcess): void {
    if (!renderer.alive) return
    if (this.#closed) {
      renderer.kill()
      return
    }
    this.#idle.push(renderer)
    if (!this.#isWorn(renderer)) this.#retireLater(renderer)
    else if (this.#spare) this.#swapWorn()
    else if (!this.#preparing) this.#prepareSpare()
  }

  #isWorn(renderer: RendererProcess): boolean {
    return renderer.jobs >= this.#options.recycleAfterJobs || renderer.rssBytes > this.#options.recycleAboveBytes
  }

  #swapWorn(): void {
    const at = this.#idle.findIndex((idle) => this.#isWorn(idle))
    const spare = this.#spare
    if (at < 0 || !spare) return
    const [worn] = this.#idle.splice(at, 1, spare)
    this.#spare = undefined
    this.counters.recycled += 1
    worn?.retire()
  }

  #prepareSpare(): void {
    this.#preparing = this.#start()
      .then((fresh) => {
        this.#spare = fresh
        this.#swapWorn()
      })
      // The worn one goes on; its next rest tries again.
      .catch(() => undefined)
      .finally(() => {
        this.#preparing = undefined
      })
  }

  #retireLater(renderer: RendererProcess): void {
    if (this.#all.size <= this.#options.keep) return
    const jobs = renderer.jobs
    setTimeout(() => {
      const at = this.#idle.indexOf(renderer)
      if (at < 0 || renderer.jobs !== jobs || this.#all.size <= this.#options.keep) return
      this.#idle.splice(at, 1)
      renderer.retire()
    }, this.#options.idleMs).unref()
  }
}
