/** `GET …/`: the caller's assets in pages, filtered and sorted. */
import { createRoute, z } from '@hono/zod-openapi'
import { VISIBILITIES } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import { parseDigest, parseOwnerId } from '../core/ids.ts'
import { ORIGINAL_FORMATS } from '../core/image.ts'
import { AssetSchema } from '../http/asset-document.ts'
import { problems, type Router } from '../http/context.ts'
import type { Principal } from '../http/principal.ts'
import { listAssets, SORT_FIELDS, sortValue } from '../metadata/listing.ts'
import { formatCursor, parseCursor } from './cursor.ts'
import type { LibraryDeps } from './ports.ts'

/** 200 assets are some 400 KB of JSON; more would hold up the loop and the reader. */
const MAX_LIMIT = 200
const DEFAULT_LIMIT = 50

const Instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

const Query = z.strictObject({
  cursor: z.string().max(1000).optional().openapi({ description: '`next_cursor` of the page before' }),
  limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(DEFAULT_LIMIT),
  sort: z.enum(SORT_FIELDS).default('created_at'),
  order: z.enum(['asc', 'desc']).default('desc'),
  visibility: z.enum(VISIBILITIES).optional(),
  format: z.enum(ORIGINAL_FORMATS).optional(),
  tag: z.string().max(64).optional(),
  created_after: Instant.optional(),
  created_before: Instant.optional(),
  hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  state: z.enum(['live', 'deleted']).default('live'),
  q: z.string().max(255).optional().openapi({ description: 'part of the filename' }),
  owner: z.string().optional().openapi({ description: 'another owner’s assets; administrators only' }),
})

const listRoute = createRoute({
  method: 'get',
  path: '/',
  tags: ['assets'],
  summary: 'Your assets',
  description: 'Pages are stable: an asset that is added while you page shifts no other.',
  security: [{ bearer: [] }],
  request: { query: Query },
  responses: {
    200: {
      description: 'a page',
      content: {
        'application/json': { schema: z.object({ items: z.array(AssetSchema), next_cursor: z.string().nullable() }) },
      },
    },
    ...problems(400, 401, 403),
  },
})

export const mountListing = (routes: Router, { metadata, guards, describe }: LibraryDeps): void => {
  routes.openapi({ ...listRoute, middleware: guards.caller }, async (c) => {
    const query = c.req.valid('query')
    const order = { sort: query.sort, descending: query.order === 'desc' }
    // One more than is shown tells whether there is a next page.
    const found = await listAssets(metadata.search, {
      ...order,
      ownerId: ownerAsked(query.owner, c.get('principal')),
      filter: {
        visibility: query.visibility,
        format: query.format,
        tag: query.tag,
        createdAfter: query.created_after,
        createdBefore: query.created_before,
        digest: query.hash === undefined ? undefined : parseDigest(query.hash),
        filenamePart: query.q,
        state: query.state,
      },
      after: query.cursor === undefined ? undefined : parseCursor(query.cursor, order),
      limit: query.limit + 1,
    })
    const shown = found.slice(0, query.limit)
    const last = found.length > query.limit ? shown.at(-1) : undefined
    const next = last && formatCursor(order, { value: sortValue(last, query.sort), id: last.id })
    return c.json({ items: shown.map((asset) => describe(asset, c.get('publicUrl'))), next_cursor: next ?? null }, 200)
  })
}

const ownerAsked = (owner: string | undefined, principal: Principal) => {
  if (owner === undefined || owner === principal.ownerId) return principal.ownerId
  if (!principal.admin) throw new AppError('forbidden', 'only an administrator lists another owner’s assets')
  return parseOwnerId(owner)
}
