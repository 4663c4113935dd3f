/** The Hono application: order of middleware, and where each area's routes are mounted. Image delivery stands in front of it. */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { AppError } from './core/errors.ts'
import { createRouter, type Router } from './http/context.ts'
import { createMethodTable, guardMethods, type MethodsOf } from './http/methods.ts'
import { describePages, openApiDocument } from './http/openapi-document.ts'
import { asAppError, problemResponse } from './http/problem.ts'
import type { createPublicUrl } from './http/public-url.ts'
import type { Metrics } from './telemetry.ts'

export interface Mounts {
  /** Mounted at `/assets` and again at `/images`: the same answers under both names. */
  readonly assets: readonly Router[]
  /** By the path they are mounted at. */
  readonly internal: Readonly<Record<string, Router>>
  /** Mounted at the root: operations, analytics, pages. */
  readonly root: readonly Router[]
}

export interface AppPorts {
  readonly metrics: Metrics
  readonly log: Logger
  /** Prefix of the URLs in an answer, from the request's headers. */
  readonly publicUrl: ReturnType<typeof createPublicUrl>
}

const REQUEST_ID = /^[\w.:-]{8,128}$/

/** @returns the app; `app.fetch` is what the HTTP server calls, `app.request()` what tests call. */
export const createApp = (mounts: Mounts, { metrics, log, publicUrl }: AppPorts): Router => {
  const app = createRouter()

  app.use(async (c, next) => {
    const offered = c.req.header('X-Request-Id') ?? ''
    const requestId = REQUEST_ID.test(offered) ? offered : randomUUID()
    c.set('requestId', requestId)
    c.set(
      'publicUrl',
      publicUrl((name) => c.req.header(name)),
    )
    const startedAt = performance.now()
    await next()
    const ms = performance.now() - startedAt
    // Not by `c.header`, which by now would make the answer anew, as a stream: 70 µs a request.
    const { headers } = c.res
    headers.set('X-Request-Id', requestId)
    headers.set('X-Content-Type-Options', 'nosniff')
    // Answers carry signed URLs and what is one owner's: no cache may keep one unless its route says so (RFC 9111 §5.2.2.5).
    if (!headers.has('Cache-Control')) headers.set('Cache-Control', 'private, no-store')
    metrics.requests.inc({ method: c.req.method, status: String(c.res.status) })
    metrics.requestSeconds.observe({ route: c.req.routePath }, ms / 1000)
    log.debug({ requestId, method: c.req.method, path: c.req.path, status: c.res.status, ms }, 'request')
  })

  app.onError((error, c) => {
    const requestId = c.get('requestId')
    const { kind, cause } = asAppError(error)
    if (kind === 'internal') log.error({ err: error, requestId, path: c.req.path }, 'request failed')
    else if (cause) log.warn({ err: error, requestId, path: c.req.path }, error.message)
    return problemResponse(error, requestId)
  })
  app.notFound((c) =>
    problemResponse(new AppError('not-found', `nothing at ${c.req.method} ${c.req.path}`), c.get('requestId')),
  )

  let methodsOf: MethodsOf = () => undefined
  app.use(guardMethods((path) => methodsOf(path)))

  for (const name of ['/assets', '/images']) for (const router of mounts.assets) app.route(name, router)
  for (const [path, router] of Object.entries(mounts.internal)) app.route(path, router)
  for (const router of mounts.root) app.route('/', router)

  describePages(app)
  const document = openApiDocument(app)
  app.get('/openapi.json', (c) => c.json(document, 200, { 'Cache-Control': 'no-cache' }))
  methodsOf = createMethodTable(app.routes)
  return app
}
