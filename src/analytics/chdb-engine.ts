/**
 * The embedded engine on demand. Its process takes 300–400 MB, so it lives while there is work and a little longer; what it
 * does wrong (crash, hang, refuse its folder) ends in a fresh process, never in this one.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ClickHouseClient, createClient } from '@clickhouse/client'
import { AppError } from '../core/errors.ts'
import { createSoundStart } from './chdb-folder.ts'
import { type ChdbProcess, ChdbStartError } from './chdb-process.ts'
import type { Engine, EngineHealth, EngineStats } from './engine.ts'
import type { AnalyticsLog } from './log.ts'

export interface ChdbEngineOptions {
  /** The engine's data folder; beside it go `<dir>-incoming` and, when it will not open, `<dir>.broken-<time>`. */
  readonly dir: string
  /** Run in order when the engine has started; must stand being run again. */
  readonly schema: readonly string[]
  readonly log: AnalyticsLog
  /** Idle time after which the process is stopped. Default 30 s. */
  readonly idleMs?: number
  /** Default 15 s: at nice 10 on a machine that renders with all cores, a second or two of silence is normal. */
  readonly heartbeatTimeoutMs?: number
  /** Default 60 s. Opening takes 0.1–0.5 s here, after a crash too; the rest is for large folders on slow disks. */
  readonly startTimeoutMs?: number
  /** npm name of the binding. Default `chdb`. */
  readonly binding?: string
}

interface Running {
  readonly process: ChdbProcess
  readonly client: ClickHouseClient
}

const STOP_GRACE_MS = 5000
/** A wait for the next start that is longer than this is told to the caller instead. */
const PATIENCE_MS = 1500
/** 0.2 s, 0.4 s … 30 s between attempts. */
const backoffMs = (failures: number): number => Math.min(30_000, 100 * 2 ** failures)

export interface ChdbEngine extends Engine {
  /** Process id while one runs; for tests and operators. */
  pid(): number | undefined
}

export const createChdbEngine = (options: ChdbEngineOptions): ChdbEngine => new OnDemandEngine(options)

const IDLE: EngineHealth = { state: 'idle', detail: 'starts when it is needed' }

class OnDemandEngine implements ChdbEngine {
  readonly #log: AnalyticsLog
  readonly #schema: readonly string[]
  readonly #idleMs: number
  readonly #start: () => Promise<ChdbProcess>
  readonly #closing = new AbortController()
  readonly #count = { starts: 0, failures: 0 }
  #health = IDLE
  #running: Running | undefined
  #starting: Promise<Running> | undefined
  #stopping: Promise<void> = Promise.resolve()
  #users = 0
  #idleTimer: NodeJS.Timeout | undefined
  #failuresInARow = 0
  /** Unix milliseconds before which no start is tried. */
  #notBefore = 0

  constructor(options: ChdbEngineOptions) {
    const { dir, log, heartbeatTimeoutMs = 15_000, startTimeoutMs = 60_000, binding = 'chdb' } = options
    const start = createSoundStart(log)
    const processOptions = { binding, dir, incoming: `${dir}-incoming`, heartbeatTimeoutMs, startTimeoutMs }
    this.#start = () => start(processOptions, this.#closing.signal)
    this.#log = log
    this.#schema = options.schema
    this.#idleMs = options.idleMs ?? 30_000
  }

  get stats(): EngineStats {
    return this.#count
  }

  health(): EngineHealth {
    return this.#health
  }

  pid(): number | undefined {
    return this.#running?.process.pid
  }

  async use<T>(work: (client: ClickHouseClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#refuseIfHopeless()
    this.#users++
    clearTimeout(this.#idleTimer)
    try {
      const { client } = await untilAborted(this.#obtain(), signal)
      const result = await work(client)
      this.#failuresInARow = 0
      return result
    } finally {
      this.#users--
      if (this.#users === 0) this.#idleTimer = setTimeout(() => this.#stopIdle(), this.#idleMs).unref()
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#idleTimer)
    await this.#starting?.catch(() => undefined)
    this.#health = { state: 'closed', detail: 'the server is stopping' }
    this.#stopRunning()
    await this.#stopping
  }

  #refuseIfHopeless(): void {
    const { state, detail } = this.#health
    const waitMs = this.#notBefore - Date.now()
    if (this.#closing.signal.aborted || state === 'unavailable') throw unavailable(detail, 60)
    if (this.#running === undefined && waitMs > PATIENCE_MS) throw unavailable(detail, Math.ceil(waitMs / 1000))
  }

  #obtain(): Promise<Running> {
    if (this.#running !== undefined) return Promise.resolve(this.#running)
    this.#starting ??= this.#launch()
      .catch((error: unknown) => {
        this.#failed(error)
        throw error
      })
      .finally(() => {
        this.#starting = undefined
      })
    return this.#starting
  }

  async #launch(): Promise<Running> {
    await this.#stopping
    await sleep(Math.max(0, this.#notBefore - Date.now()), undefined, { signal: this.#closing.signal })
    this.#health = { state: 'starting', detail: '' }
    this.#count.starts++
    const process = await this.#start()
    const { url, username, password } = process
    const limits = { max_open_connections: 5, request_timeout: 60_000 }
    const mine = { process, client: createClient({ url, username, password, ...limits, log: { level: 127 } }) }
    try {
      for (const query of this.#schema) await mine.client.command({ query })
    } catch (error) {
      await retire(mine)
      throw error
    }
    this.#running = mine
    this.#health = { state: 'ready', detail: `chDB ${process.version}` }
    void process.ended.then((how) => this.#lost(mine, how))
    return mine
  }

  async #lost(mine: Running, how: string): Promise<void> {
    if (this.#running !== mine) return
    this.#running = undefined
    this.#failed(new Error(`process ended: ${how}`))
    await mine.client.close()
  }

  #failed(error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.#count.failures++
    this.#failuresInARow++
    this.#notBefore = Date.now() + backoffMs(this.#failuresInARow)
    const detail = error instanceof Error ? error.message : String(error)
    const hopeless = error instanceof ChdbStartError && error.fault === 'unavailable'
    this.#health = { state: hopeless ? 'unavailable' : 'recovering', detail }
    if (hopeless) this.#log.warn({ err: error }, 'analytics: no embedded engine here; events are kept in the spool')
    else this.#log.error({ err: error, failuresInARow: this.#failuresInARow }, 'analytics: embedded engine failed')
  }

  #stopIdle(): void {
    if (this.#running === undefined || this.#users > 0) return
    this.#health = IDLE
    this.#stopRunning()
  }

  #stopRunning(): void {
    const mine = this.#running
    if (mine === undefined) return
    this.#running = undefined
    this.#stopping = retire(mine)
  }
}

const unavailable = (detail: string, retryAfterSeconds: number): AppError =>
  new AppError('busy', `the analytics engine is not available: ${detail.split('\n', 1)[0]}`, { retryAfterSeconds })

const retire = async ({ client, process }: Running): Promise<void> => {
  await client.close()
  await process.stop(STOP_GRACE_MS)
}

/** Stops waiting, not the work: a start goes on for whoever asks next. */
const untilAborted = async <T>(work: Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
