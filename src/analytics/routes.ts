/** `GET /analytics/summary`: analysts' questions over HTTP, for the admin. */
import { createRoute, z } from '@hono/zod-openapi'
import { createRouter, problems, type Router } from '../http/context.ts'
import type { Guards } from '../http/principal.ts'
import { METRIC_NAMES, METRICS } from './dimensions.ts'
import { type Question, questionParameters, readQuestion } from './question.ts'
import { type Summary, summaryCsv } from './summary.ts'

export interface AnalyticsRoutesDeps {
  readonly guards: Pick<Guards, 'admin'>
  /** @throws AppError `busy` when the engine cannot answer now. */
  readonly query: (question: Question, signal: AbortSignal) => Promise<Summary>
  /** Longest `from` … `to`, in days. Default 400. */
  readonly maxRangeDays?: number
}

const metrics = Object.fromEntries(
  METRIC_NAMES.map((name) => [name, z.number().nullable().openapi({ description: METRICS[name].about })]),
)

const summarySchema = z
  .object({
    from: z.string(),
    to: z.string(),
    group_by: z.array(z.string()),
    rows: z.array(z.looseObject(metrics)).openapi({ description: 'one per group: its dimensions and the metrics' }),
    total: z.object(metrics).optional().openapi({ description: 'over all groups, those beyond the limit included' }),
    complete: z.boolean().openapi({ description: 'false while events of before the question are still being loaded' }),
  })
  .openapi('AnalyticsSummary')

const summaryRoute = (admin: Guards['admin']) =>
  createRoute({
    method: 'get',
    path: '/analytics/summary',
    tags: ['Analytics'],
    summary: 'Image requests by time, format, device…',
    description:
      'Sees every request answered before the question. In CSV the header `X-Oriel-Complete` says what `complete` says in JSON.',
    security: [{ bearer: [] }],
    middleware: [admin] as const,
    request: { query: questionParameters },
    responses: {
      200: {
        description: 'the answer',
        content: { 'application/json': { schema: summarySchema }, 'text/csv': { schema: z.string() } },
      },
      ...problems(400, 401, 403, 422, 503),
    },
  })

/** Mount at the root. */
export const createAnalyticsRoutes = (deps: AnalyticsRoutesDeps): Router => {
  const { guards, query, maxRangeDays = 400 } = deps
  const router = createRouter()
  router.openapi(summaryRoute(guards.admin), async (c) => {
    const question = readQuestion(c.req.valid('query'), maxRangeDays, Date.now())
    const summary = await query(question, c.req.raw.signal)
    const headers = { 'Cache-Control': 'no-store', Vary: 'Accept', 'X-Oriel-Complete': String(summary.complete) }
    const asCsv = question.format === 'csv' || (question.format === undefined && prefersCsv(c.req.header('Accept')))
    if (!asCsv) return c.json(summary, 200, headers)
    return c.body(summaryCsv(summary), 200, { ...headers, 'Content-Type': 'text/csv; charset=utf-8; header=present' })
  })
  return router
}

/** CSV is asked for by name; a wildcard is content with JSON. */
const prefersCsv = (accept: string | undefined): boolean => {
  const quality = (type: string): number => {
    const range = accept?.split(',').find((part) => part.split(';', 1)[0]?.trim().toLowerCase() === type)
    return range === undefined ? 0 : Number(/;\s*q=([\d.]+)/i.exec(range)?.[1] ?? 1)
  }
  return quality('text/csv') > quality('application/json')
}
