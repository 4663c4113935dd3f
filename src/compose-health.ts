/** How each engine says whether it is well: what `/readyz` asks. */
import type { Analytics } from './analytics/analytics.ts'
import type { Blobs } from './compose-blobs.ts'
import type { EngineHealth, HealthChecks } from './http/ops.ts'
import type { RendererPool } from './imaging/pool.ts'
import type { Metadata } from './metadata/database.ts'

export interface CheckedEngines {
  readonly metadata: Pick<Metadata, 'engine' | 'read' | 'fault'>
  readonly blobs: Pick<Blobs, 'check'>
  readonly pool: Pick<RendererPool, 'stats' | 'warm'>
  readonly analytics: Pick<Analytics, 'health'> | undefined
  /** What origins share; it says `degraded` at the worst. */
  readonly redis?: { health(): EngineHealth } | undefined
}

/** @returns a check for each engine; what they throw means `down`. */
export const createHealthChecks = ({ metadata, blobs, pool, analytics, redis }: CheckedEngines): HealthChecks => ({
  metadata: async () => {
    const fault = metadata.fault()
    if (fault !== undefined) return { state: 'down', detail: fault }
    await metadata.read.selectFrom('originals').select('digest').limit(1).execute()
    return { state: 'ready', detail: metadata.engine }
  },
  blobs: () => blobs.check(),
  renderers: () => renderersHealth(pool),
  ...(redis && { redis: () => redis.health() }),
  ...(analytics && { analytics: () => analyticsHealth(analytics) }),
})

/**
 * Processes that all went are started again by the check itself: a balancer that sends nothing to a server that is not ready
 * would never cause the job that starts one. Before the first has come up, that is the start's business.
 */
const renderersHealth = async (pool: CheckedEngines['pool']): Promise<EngineHealth> => {
  const { processes, started, rejected } = pool.stats
  if (processes === 0 && started + rejected === 0) return { state: 'idle', detail: 'none started yet' }
  if (processes === 0) await pool.warm()
  return { state: 'ready', detail: `${pool.stats.processes} processes` }
}

/** Images are served whatever analytics does, so it never makes the server unready (CONTRACT §7.6). */
const analyticsHealth = (analytics: Pick<Analytics, 'health'>): EngineHealth => {
  const { state, detail } = analytics.health()
  const ours = state === 'ready' || state === 'idle' ? state : 'degraded'
  return { state: ours, detail: detail ? `${state}: ${detail}` : state }
}
