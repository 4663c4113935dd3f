/** The whole of analytics as one thing with a life: events in, questions out, and the pace at which the one reaches the other. */
import { join } from 'node:path'
import { ClickHouseError } from '@clickhouse/client'
import { AppError } from '../core/errors.ts'
import { createChdbEngine } from './chdb-engine.ts'
import { createClickHouseEngine } from './clickhouse-engine.ts'
import type { EngineHealth, EngineStats } from './engine.ts'
import type { AppendOutcome, FrameBufferOptions } from './frame-buffer.ts'
import { createLoader, type LoaderStats } from './loader.ts'
import type { AnalyticsLog } from './log.ts'
import { type PaceOptions, startPace } from './pace.ts'
import type { Question } from './question.ts'
import { createRecorder, type RecorderStats } from './recorder.ts'
import type { DeliveryRecorder } from './recorder-port.ts'
import { type SchemaOptions, schema } from './schema.ts'
import { openSpool, type SpoolStats } from './spool.ts'
import { askSummary, type Summary } from './summary.ts'

export interface AnalyticsOptions extends SchemaOptions, PaceOptions {
  /** Oriel's data folder; `spool/events` and `analytics` are made under it. */
  readonly dataDir: string
  readonly log: AnalyticsLog
  /** A ClickHouse server instead of the embedded engine: `http://user:password@host:8123/database`. */
  readonly url?: string
  readonly buffer?: FrameBufferOptions
  readonly spoolBudgetBytes?: number
  readonly segmentBytes?: number
  /** Longest that a question waits for the events before it to be loaded. Default 10 s. */
  readonly drainWaitMs?: number
  readonly idleMs?: number
  readonly heartbeatTimeoutMs?: number
  /** npm name of the embedded engine's binding. Default `chdb`. */
  readonly binding?: string
}

export interface AnalyticsStats extends RecorderStats, LoaderStats {
  readonly spool: SpoolStats
  readonly engine: EngineStats
  readonly engineState: EngineHealth['state']
}

export interface Analytics extends AsyncDisposable {
  readonly recorder: DeliveryRecorder
  /** Writes frames of so many events of others to the spool: all of them or none. Synced when it resolves. */
  importFrames(frames: Uint8Array, rows: number): Promise<AppendOutcome>
  /**
   * Sees every event recorded before the call, unless `complete` is false.
   * @throws AppError `busy` when the engine cannot answer now, `unprocessable` when the question costs too much.
   */
  query(question: Question, signal: AbortSignal): Promise<Summary>
  /** Resolves when every event accepted so far is on disk or counted as dropped. */
  flush(): Promise<void>
  readonly stats: AnalyticsStats
  health(): EngineHealth
  /** Process id of the embedded engine while it runs. */
  enginePid(): number | undefined
  /** Events reach the disk, the engine's process ends; what is spooled waits for the next start. At most ~6 s. */
  close(): Promise<void>
}

const RETRY_SECONDS = 5
/** A start of the engine (1 s) and the query's own bound of 20 s, with room; after the wait for loading. */
const QUERY_MS = 45_000

/** @throws when the spool's folder cannot be used; everything about the engine is found out later and said by `health`. */
export const createAnalytics = async (options: AnalyticsOptions): Promise<Analytics> => {
  const { dataDir, url, log, drainWaitMs = 10_000 } = options
  const statements = schema(options)
  const spool = await openSpool({ ...options, dir: join(dataDir, 'spool', 'events') })
  const recorder = createRecorder((frame, rows) => spool.append(frame, rows), options.buffer)
  const embedded =
    url === undefined
      ? createChdbEngine({ ...options, dir: join(dataDir, 'analytics'), schema: statements })
      : undefined
  const engine = embedded ?? createClickHouseEngine({ url: url ?? '', schema: statements })
  const loader = createLoader(spool, engine, log)
  const pace = startPace({ ...options, eager: embedded === undefined }, spool, engine, loader)
  let closing: Promise<void> | undefined

  const loadAll = async (signal: AbortSignal): Promise<boolean> => {
    await recorder.flush()
    await spool.seal()
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(drainWaitMs)])
    try {
      await loader.drain(bounded)
      return true
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof AppError) throw error
      log.warn({ err: error }, 'analytics: a question is answered without the latest events')
      return false
    }
  }
  const close = async (): Promise<void> => {
    pace.stop()
    await recorder.close()
    await spool.close()
    await engine.close()
  }
  return {
    recorder,
    importFrames: (frames, rows) => spool.append(frames, rows),
    query: async (question, asker) => {
      const signal = AbortSignal.any([asker, AbortSignal.timeout(drainWaitMs + QUERY_MS)])
      try {
        const complete = await loadAll(signal)
        return { ...(await engine.use((client) => askSummary(client, question, signal), signal)), complete }
      } catch (error) {
        if (error instanceof AppError || asker.aborted) throw error
        const known = error instanceof ClickHouseError ? `: ClickHouse code ${error.code}` : ''
        throw new AppError('busy', `the analytics engine did not answer${known}`, {
          cause: error,
          retryAfterSeconds: RETRY_SECONDS,
        })
      }
    },
    flush: recorder.flush,
    get stats() {
      return {
        ...recorder.stats,
        ...loader.stats,
        spool: spool.stats,
        engine: engine.stats,
        engineState: engine.health().state,
      }
    },
    health: () => engine.health(),
    enginePid: () => embedded?.pid(),
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  }
}
