/** What operators ask: is the process alive, is each engine ready, and what do the numbers say. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Registry } from 'prom-client'
import { createRouter, type Router } from './context.ts'

export interface EngineHealth {
  /** `idle`: stopped on purpose, starts when there is work. `degraded` does not make the server unready: images are served. */
  readonly state: 'ready' | 'idle' | 'degraded' | 'down'
  readonly detail?: string
}

/** Each engine by name; a check that fails or takes over a second is `down`. No check runs twice at once. */
export type HealthChecks = Readonly<Record<string, () => EngineHealth | Promise<EngineHealth>>>

const CHECK_LIMIT_MS = 1_000
/** What a check said stands for so long, so that nobody who polls can keep the disk busy with checks. */
const REMEMBERED_MS = 1_000

const Health = z.object({
  status: z.enum(['ready', 'not ready']),
  engines: z.record(
    z.string(),
    z.object({ state: z.enum(['ready', 'idle', 'degraded', 'down']), detail: z.string().optional() }),
  ),
})

export const createOpsRoutes = (checks: HealthChecks, registry: Registry): Router => {
  const router = createRouter()
  const asked = Object.entries(checks).map(([name, check]) => [name, remembered(check)] as const)

  router.openapi(
    createRoute({
      method: 'get',
      path: '/healthz',
      tags: ['operations'],
      security: [],
      summary: 'Is the process alive',
      responses: { 200: { description: 'alive', content: { 'text/plain': { schema: z.string() } } } },
    }),
    (c) => c.text('ok\n', 200, { 'Cache-Control': 'no-store' }),
  )

  const report = async () => {
    const engines = Object.fromEntries(
      await Promise.all(asked.map(async ([name, check]) => [name, await judged(check)] as const)),
    )
    const ready = Object.values(engines).every((engine) => engine.state !== 'down')
    return { status: ready ? ('ready' as const) : ('not ready' as const), engines }
  }

  const body = { content: { 'application/json': { schema: Health } } }
  router.openapi(
    createRoute({
      method: 'get',
      path: '/readyz',
      tags: ['operations'],
      security: [],
      summary: 'Is each engine ready',
      responses: { 200: { description: 'ready', ...body }, 503: { description: 'an engine is down', ...body } },
    }),
    async (c) => {
      const health = await report()
      return c.json(health, health.status === 'ready' ? 200 : 503, { 'Cache-Control': 'no-store' })
    },
  )

  router.openapi(
    createRoute({
      method: 'get',
      path: '/metrics',
      tags: ['operations'],
      security: [],
      summary: 'Metrics in Prometheus text format',
      responses: { 200: { description: 'metrics', content: { 'text/plain': { schema: z.string() } } } },
    }),
    async (c) =>
      c.text(await registry.metrics(), 200, { 'Content-Type': registry.contentType, 'Cache-Control': 'no-store' }),
  )
  return router
}

type Check = HealthChecks[string]

/** Later callers share a check that is still running, however long: one that hangs on a dead disk holds one thread, not all. */
const remembered = (check: Check): Check => {
  let latest: Promise<EngineHealth> | undefined
  let goodUntil = 0
  return () => {
    if (latest && performance.now() < goodUntil) return latest
    goodUntil = Number.POSITIVE_INFINITY
    const running = (async () => check())()
    const settle = () => {
      goodUntil = performance.now() + REMEMBERED_MS
    }
    running.then(settle, settle)
    latest = running
    return running
  }
}

const judged = async (check: Check): Promise<EngineHealth> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<EngineHealth>((resolve) => {
    timer = setTimeout(() => resolve({ state: 'down', detail: `no answer in ${CHECK_LIMIT_MS} ms` }), CHECK_LIMIT_MS)
  })
  try {
    return await Promise.race([check(), late])
  } catch (error) {
    return { state: 'down', detail: error instanceof Error ? error.message : String(error) }
  } finally {
    clearTimeout(timer)
  }
}
