/** What the analytics tests share: a temporary folder, events, questions, and whether the embedded engine runs here. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Analytics, type AnalyticsOptions, createAnalytics } from '../../src/analytics/analytics.ts'
import { createChdbEngine } from '../../src/analytics/chdb-engine.ts'
import { questionParameters, readQuestion } from '../../src/analytics/question.ts'
import type { Summary } from '../../src/analytics/summary.ts'
import { AppError } from '../../src/core/errors.ts'
import { createLog } from './recording-events.ts'

export const temporaryFolder = async () => {
  const path = await mkdtemp(join(tmpdir(), 'oriel-analytics-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/**
 * A question waits for the events before it longer than for a dashboard: the engine works at a low priority, so its start, half a second
 * here, takes more than the 10 s of the default beside others that never rest.
 */
export const startAnalytics = (options: AnalyticsOptions): Promise<Analytics> =>
  createAnalytics({ drainWaitMs: 60_000, ...options })

export const ask = (analytics: Analytics, parameters: Record<string, string>): Promise<Summary> =>
  analytics.query(readQuestion(questionParameters.parse(parameters), 400, Date.now()), AbortSignal.timeout(110_000))

/** Waits out an engine that another process has just let go of, or that is being started again. */
export const askUntilComplete = async (analytics: Analytics, parameters: Record<string, string>): Promise<Summary> => {
  for (let attempt = 0; ; attempt++) {
    try {
      const summary = await ask(analytics, parameters)
      if (summary.complete) return summary
    } catch (error) {
      if (!(error instanceof AppError) || attempt > 100) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Rows of the events table, read past `analytics`; nothing else may have the folder open. */
export const readRows = async (dataDir: string, sql: string): Promise<Record<string, unknown>[]> => {
  const engine = createChdbEngine({ dir: join(dataDir, 'analytics'), schema: [], log: createLog() })
  try {
    return await engine.use(
      async (client) => (await client.query({ query: sql, format: 'JSONEachRow' })).json<Record<string, unknown>>(),
      AbortSignal.timeout(110_000),
    )
  } finally {
    await engine.close()
  }
}

const findEngine = async (): Promise<boolean> => {
  await using folder = await temporaryFolder()
  const engine = createChdbEngine({ dir: join(folder.path, 'data'), schema: [], log: createLog() })
  try {
    await engine.use((client) => client.ping(), AbortSignal.timeout(60_000))
    return true
  } catch {
    console.log(`left out: tests on the embedded engine (${engine.health().detail.split('\n', 1)[0]})`)
    return false
  } finally {
    await engine.close()
  }
}

export const engineRuns: boolean = await findEngine()
