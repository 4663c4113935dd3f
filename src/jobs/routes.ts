/** `/internal/jobs`: an administrator sees what waits, runs and is parked, has it tried again, or drops it. */
import { createRoute, z } from '@hono/zod-openapi'
import { JOB_KINDS } from '../core/asset-event.ts'
import { AppError } from '../core/errors.ts'
import { createRouter, problems, type Router } from '../http/context.ts'
import type { Guards } from '../http/principal.ts'
import type { Metadata } from '../metadata/database.ts'
import { JOB_STATES, type JobRecord, listJobs, removeJob, retryJob } from '../metadata/outbox.ts'

const JobSchema = z
  .object({
    id: z.int(),
    kind: z.enum(JOB_KINDS),
    hash: z.string(),
    state: z.enum(JOB_STATES),
    attempts: z.int().openapi({ description: 'so far, the running one included' }),
    error: z.string().nullable().openapi({ description: 'of the last attempt that failed' }),
    due_at: z.string().openapi({ description: 'pending: tried then; running: taken for lost then' }),
    created_at: z.string(),
  })
  .openapi('Job')

const base = { tags: ['operations'], security: [{ bearer: [] }] }
const id = z.object({ id: z.string().regex(/^\d{1,15}$/, 'a whole number') })

const listRoute = createRoute({
  ...base,
  method: 'get',
  path: '/',
  summary: 'Work after the answer: edge purges, scans, prewarming',
  description:
    'In the order in which they were made. A job that is done has no row any more; it is counted in the metrics.',
  request: {
    query: z.object({
      state: z.enum(JOB_STATES).optional(),
      kind: z.enum(JOB_KINDS).optional(),
      cursor: z
        .string()
        .regex(/^\d{1,15}$/, 'a cursor of this list')
        .optional(),
      limit: z.coerce.number().int().min(1).max(500).default(50),
    }),
  },
  responses: {
    200: {
      description: 'a page',
      content: {
        'application/json': { schema: z.object({ jobs: z.array(JobSchema), next_cursor: z.string().nullable() }) },
      },
    },
    ...problems(400, 401, 403),
  },
})

const retryRoute = createRoute({
  ...base,
  method: 'post',
  path: '/{id}/retry',
  summary: 'Try a job again now, its attempts counted anew',
  request: { params: id },
  responses: { 204: { description: 'due now' }, ...problems(400, 401, 403, 404) },
})

const removeRoute = createRoute({
  ...base,
  method: 'delete',
  path: '/{id}',
  summary: 'Drop a job',
  description: 'What is running is not stopped, but not tried again. A dropped scan leaves a held picture held.',
  request: { params: id },
  responses: { 204: { description: 'dropped' }, ...problems(400, 401, 403, 404) },
})

export interface JobsDeps {
  readonly guards: Guards
  readonly metadata: Metadata
  /** There is something to do. */
  readonly wake: () => void
}

/** To be mounted at `/internal/jobs`. */
export const createJobsRoutes = ({ guards, metadata, wake }: JobsDeps): Router => {
  const routes = createRouter()
  routes.openapi({ ...listRoute, middleware: guards.admin }, async (c) => {
    const { state, kind, cursor = '0', limit } = c.req.valid('query')
    const jobs = await listJobs(metadata.search, { state, kind, after: Number(cursor), limit: limit + 1 })
    const page = jobs.slice(0, limit)
    const next = jobs.length > limit ? String(page.at(-1)?.id) : null
    return c.json({ jobs: page.map(describe), next_cursor: next }, 200)
  })
  routes.openapi({ ...retryRoute, middleware: guards.admin }, async (c) => {
    const { id } = c.req.valid('param')
    const found = await metadata.transaction((transaction) => retryJob(transaction, Number(id)))
    if (!found) throw new AppError('not-found', `no job ${id}`)
    wake()
    return c.body(null, 204)
  })
  routes.openapi({ ...removeRoute, middleware: guards.admin }, async (c) => {
    const { id } = c.req.valid('param')
    const found = await metadata.transaction((transaction) => removeJob(transaction, Number(id)))
    if (!found) throw new AppError('not-found', `no job ${id}`)
    return c.body(null, 204)
  })
  return routes
}

const describe = (job: JobRecord): z.infer<typeof JobSchema> => ({
  id: job.id,
  kind: job.kind,
  hash: job.digest,
  state: job.state,
  attempts: job.attempts,
  error: job.error,
  due_at: job.dueAt.toISOString(),
  created_at: job.createdAt.toISOString(),
})
