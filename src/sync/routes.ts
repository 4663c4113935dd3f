/** `GET /sync` and `GET /sync/events`: what became of the caller's assets since a cursor, asked for or told. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { OwnerId } from '../core/ids.ts'
import { AssetSchema, type DescribeAsset } from '../http/asset-document.ts'
import { createRouter, type Env, problems, type Router } from '../http/context.ts'
import type { Guards } from '../http/principal.ts'
import { formatCursor, type Position, parseSince } from './cursor.ts'
import { type StreamOptions, streamEvents } from './event-stream.ts'
import type { Feed, ToldChange } from './feed.ts'
import type { Hub } from './hub.ts'

/** 200 assets are some 400 KB of JSON; more would hold up the loop. Who asks for more gets this many, and is told that there are more. */
const MAX_PAGE = 200
const MAX_LIMIT = 1_000
const DEFAULT_LIMIT = 100
/** A cursor in the middle of a snapshot has 100 characters. */
const MAX_SINCE_CHARS = 256

const since = z.string().max(MAX_SINCE_CHARS).optional().openapi({
  description:
    'a cursor (`next_cursor`, or the `cursor` of a change), an instant in ISO 8601, or Unix milliseconds; without it, everything',
  example: '2026-11-01T00:00:00Z',
})

const ChangeSchema = z
  .object({
    cursor: z.string().openapi({ description: 'where a device stands that has heard this change' }),
    kind: z
      .enum(['added', 'updated', 'deleted'])
      .openapi({ description: '`added` also of an asset that was restored' }),
    asset_id: z.string(),
    at: z.string(),
    asset: AssetSchema.optional().openapi({
      description: 'as it is now, so maybe newer than the change; absent where it is not live now',
    }),
  })
  .openapi('Change')

const PageSchema = z
  .object({
    changes: z.array(ChangeSchema),
    next_cursor: z.string().openapi({ description: 'the next `since`' }),
    has_more: z.boolean().openapi({ description: 'more is there to be asked for at once' }),
  })
  .openapi('Changes')

const ABOUT =
  'Every change once and in order. Put `asset` in the place of what you hold of `asset_id`, drop that on `deleted`, do nothing where there is ' +
  'neither: then you end with exactly what is here, from whatever cursor you start. Changes are kept for months; an older cursor is 410: ' +
  'forget what you hold and start again without `since`, which then tells every live asset as `added`.'

const base = { method: 'get' as const, tags: ['sync'], security: [{ bearer: [] }] }

const syncRoute = createRoute({
  ...base,
  path: '/sync',
  summary: 'What became of your assets since',
  description: ABOUT,
  request: {
    query: z.strictObject({
      since,
      limit: z.coerce
        .number()
        .int()
        .min(1)
        .max(MAX_LIMIT)
        .default(DEFAULT_LIMIT)
        .openapi({ description: `changes wanted; a page has at most ${MAX_PAGE}` }),
    }),
  },
  responses: {
    200: { description: 'a page', content: { 'application/json': { schema: PageSchema } } },
    ...problems(400, 401, 410, 503),
  },
})

const eventsRoute = createRoute({
  ...base,
  path: '/sync/events',
  summary: 'The same, told as it happens',
  description: `Server-Sent Events: each \`data\` is a change as in \`GET /sync\`, each \`id\` its cursor, with which a client resumes (\`Last-Event-ID\`, which goes before \`since\`). ${ABOUT}`,
  request: {
    query: z.strictObject({ since }),
    headers: z.object({ 'last-event-id': z.string().max(MAX_SINCE_CHARS).optional() }),
  },
  responses: {
    200: { description: 'events, without end', content: { 'text/event-stream': { schema: z.string() } } },
    ...problems(400, 401, 410, 429, 503),
  },
})

export interface SyncDeps {
  readonly feed: Feed
  readonly hub: Hub
  readonly guards: Guards
  readonly describe: DescribeAsset
  /** Told of what broke a stream in the middle. */
  readonly onFault: (error: unknown, requestId: string) => void
}

const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-store',
  // Else nginx would hold events back to fill its buffers (ngx_http_proxy_module, proxy_buffering).
  'X-Accel-Buffering': 'no',
  // When the stream ends with the process, a connection kept alive would hold that up.
  Connection: 'close',
}

/** To be mounted at the root. */
export const createSyncRoutes = (deps: SyncDeps, options: StreamOptions = {}): Router => {
  const { feed, hub, guards } = deps
  const routes = createRouter()

  routes.openapi({ ...syncRoute, middleware: guards.caller }, async (c) => {
    const query = c.req.valid('query')
    const { ownerId } = c.get('principal')
    const from = await feed.locate(ownerId, parseSince(query.since, ownerId))
    const page = await feed.page(ownerId, from, Math.min(query.limit, MAX_PAGE))
    const tell = tellerOf(c, deps, ownerId)
    return c.json(
      { changes: page.changes.map(tell), next_cursor: formatCursor(ownerId, page.next), has_more: page.hasMore },
      200,
    )
  })

  routes.openapi({ ...eventsRoute, middleware: guards.caller }, async (c) => {
    const { ownerId } = c.get('principal')
    // On its way back a browser sends the same URL, whose `since` is where it began.
    const asked = c.req.valid('header')['last-event-id'] || c.req.valid('query').since
    const given = parseSince(asked, ownerId)
    // Hono answers HEAD by this handler, and nobody would read or leave the stream.
    if (c.req.method === 'HEAD') return c.body(null, 200, STREAM_HEADERS)
    const watch = await hub.watch(ownerId)
    try {
      const from = await feed.locate(ownerId, given)
      // What is wrong with the position is found before the answer begins.
      await feed.page(ownerId, from, 1)
      const tell = tellerOf(c, deps, ownerId)
      const requestId = c.get('requestId')
      // A request that a test made up has none.
      const bindings: Partial<Env['Bindings']> | undefined = c.env
      const stream = streamEvents(
        {
          feed,
          watch,
          ownerId,
          from,
          cursorOf: (position) => formatCursor(ownerId, position),
          textOf: (change) => JSON.stringify(tell(change)),
          signal: c.req.raw.signal,
          cut: () => bindings?.outgoing?.destroy(),
          onFault: (error) => deps.onFault(error, requestId),
        },
        options,
      )
      return c.body(stream, 200, STREAM_HEADERS)
    } catch (error) {
      watch[Symbol.dispose]()
      throw error
    }
  })
  return routes
}

const tellerOf = (c: Context<Env>, { describe }: Pick<SyncDeps, 'describe'>, ownerId: OwnerId) => {
  const publicUrl = c.get('publicUrl')
  return ({ position, kind, assetId, at, asset }: ToldChange) => ({
    cursor: formatCursor(ownerId, position satisfies Position),
    kind,
    asset_id: assetId,
    at: at.toISOString(),
    ...(asset && { asset: describe(asset, publicUrl) }),
  })
}
