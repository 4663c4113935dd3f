/** `/internal/reconcile` and `/internal/scrub`: an administrator starts a walk over everything, and reads its report. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRoute, z } from '@hono/zod-openapi'
import { createRouter, problems, type Router } from '../http/context.ts'
import type { Guards } from '../http/principal.ts'
import { FINDINGS } from './reconcile.ts'
import type { ReconcileRun, ReconcileRuns } from './reconcile-runs.ts'
import type { Scrub, ScrubReport } from './scrub.ts'

/** So long the call waits for the end of a small walk; of a longer one it answers how far it is. */
const WAIT_MS = 10_000

const base = { security: [{ bearer: [] }], tags: ['operations'] }

const ReconcileSchema = z
  .object({
    state: z.enum(['running', 'done', 'failed', 'never']),
    dry_run: z.boolean(),
    started_at: z.string().nullable(),
    finished_at: z.string().nullable(),
    stored: z.int(),
    rows: z.int(),
    variants: z.int(),
    quarantined: z.int(),
    found: z.record(z.enum(FINDINGS), z.int()),
    repaired: z.int(),
    findings: z
      .array(z.object({ kind: z.enum(FINDINGS), hash: z.string(), repaired: z.boolean() }))
      .openapi({ description: 'the first thousand' }),
    error: z.string().nullable(),
  })
  .openapi('ReconcileReport')

const ScrubSchema = z
  .object({
    state: z.enum(['running', 'done', 'never']),
    started_at: z.string().nullable(),
    finished_at: z.string().nullable(),
    checked: z.int(),
    bytes: z.int(),
    damaged: z.int(),
    missing: z.int(),
    sound: z.int(),
    unread: z.int(),
    faulty: z.array(z.string()).openapi({ description: 'hashes, the first hundred' }),
  })
  .openapi('ScrubReport')

const answers = <Schema extends z.ZodType>(schema: Schema) => ({
  200: { description: 'the report', content: { 'application/json': { schema } } },
  202: { description: 'it runs; ask again with GET', content: { 'application/json': { schema } } },
  ...problems(400, 401, 403),
})

const startReconcile = createRoute({
  ...base,
  method: 'post',
  path: '/reconcile',
  summary: 'Compare store and rows, both ways',
  description:
    'With `dry_run=1` nothing is changed. Another call while one runs joins it as it is, on whichever origin: of several one walks at a time.',
  request: { query: z.object({ dry_run: z.enum(['0', '1', 'true', 'false']).default('0') }) },
  responses: answers(ReconcileSchema),
})

const readReconcile = createRoute({
  ...base,
  method: 'get',
  path: '/reconcile',
  summary: 'The report of the walk under way, or of the last one, whichever origin walked',
  responses: answers(ReconcileSchema),
})

const startScrub = createRoute({
  ...base,
  method: 'post',
  path: '/scrub',
  summary: 'Hash every original again',
  description: 'Goes on with a pass that was interrupted, at the rate of `ORIEL_SCRUB_RATE`.',
  responses: answers(ScrubSchema),
})

const readScrub = createRoute({
  ...base,
  method: 'get',
  path: '/scrub',
  summary: 'The report of the pass under way, or of the last one',
  responses: answers(ScrubSchema),
})

export interface MaintenanceDeps {
  readonly guards: Guards
  readonly runs: ReconcileRuns
  readonly scrub: Scrub
  /** Aborts when the process ends. */
  readonly ending: AbortSignal
  readonly onFault: (what: string, error: unknown) => void
}

/** To be mounted at `/internal`. */
export const createMaintenanceRoutes = ({ guards, runs, scrub, ending, onFault }: MaintenanceDeps): Router => {
  const routes = createRouter()
  let pass: { end: Promise<unknown> | undefined } | undefined

  const beginPass = () => {
    const started: NonNullable<typeof pass> = { end: undefined }
    started.end = scrub
      .run(ending)
      .catch((error: unknown) => onFault('scrub', error))
      .finally(() => {
        started.end = undefined
      })
    return started
  }
  routes.openapi({ ...startReconcile, middleware: guards.admin }, async (c) => {
    const dryRun = ['1', 'true'].includes(c.req.valid('query').dry_run)
    const run = await runs.start(dryRun, WAIT_MS)
    return c.json(describeRun(run), run.state === 'running' ? 202 : 200)
  })
  routes.openapi({ ...readReconcile, middleware: guards.admin }, async (c) => {
    const run = await runs.current()
    return c.json(describeRun(run), run?.state === 'running' ? 202 : 200)
  })
  routes.openapi({ ...startScrub, middleware: guards.admin }, async (c) => {
    if (!pass?.end) pass = beginPass()
    await Promise.race([pass.end, sleep(WAIT_MS, undefined, { ref: false })])
    return c.json(describePass(await scrub.report()), pass.end ? 202 : 200)
  })
  routes.openapi({ ...readScrub, middleware: guards.admin }, async (c) =>
    c.json(describePass(await scrub.report()), pass?.end ? 202 : 200),
  )
  return routes
}

const describeRun = (run: ReconcileRun | undefined): z.infer<typeof ReconcileSchema> => ({
  state: run?.state ?? 'never',
  dry_run: run?.report?.dryRun ?? false,
  started_at: run?.report?.startedAt ?? null,
  finished_at: run?.report?.finishedAt ?? null,
  stored: run?.report?.stored ?? 0,
  rows: run?.report?.rows ?? 0,
  variants: run?.report?.variants ?? 0,
  quarantined: run?.report?.quarantined ?? 0,
  found: run?.report?.found ?? { orphan: 0, missing: 0, damaged: 0, sound: 0, variants: 0 },
  repaired: run?.report?.repaired ?? 0,
  findings: run?.report?.findings.map(({ kind, digest, repaired }) => ({ kind, hash: digest, repaired })) ?? [],
  error: run?.error ?? null,
})

const describePass = (report: ScrubReport | undefined): z.infer<typeof ScrubSchema> => ({
  state: !report ? 'never' : report.finishedAt === null ? 'running' : 'done',
  started_at: report?.startedAt ?? null,
  finished_at: report?.finishedAt ?? null,
  checked: report?.checked ?? 0,
  bytes: report?.bytes ?? 0,
  damaged: report?.damaged ?? 0,
  missing: report?.missing ?? 0,
  sound: report?.sound ?? 0,
  unread: report?.unread ?? 0,
  faulty: report?.faulty ?? [],
})
