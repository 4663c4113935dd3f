/** `DELETE …/{id}`, `POST …/{id}/restore`, and the administrator's `POST /internal/assets/{id}/cleanup` and `POST /internal/collect`. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'
import { parseAssetId } from '../core/ids.ts'
import { AssetSchema, type DescribeAsset } from '../http/asset-document.ts'
import { createRouter, problems, type Router } from '../http/context.ts'
import { AssetIdParam } from '../http/own-asset.ts'
import type { Guards } from '../http/principal.ts'
import { PurgeSchema } from '../http/purge-document.ts'
import { findAsset } from '../metadata/assets.ts'
import type { Metadata } from '../metadata/database.ts'
import type { Collector } from './collect.ts'
import type { Deleting } from './delete.ts'
import type { Purging } from './purge.ts'

const base = { security: [{ bearer: [] }], request: { params: AssetIdParam } }

const deleteRoute = createRoute({
  ...base,
  method: 'delete',
  path: '/{id}',
  tags: ['assets'],
  summary: 'Delete an asset',
  description: 'Hidden at once on every path; it can be restored for some days. Again is no error.',
  responses: {
    200: {
      description: 'deleted; where there are tiers in front of the origin, which of them have confirmed it',
      content: { 'application/json': { schema: z.object({ id: z.string(), purge: PurgeSchema }) } },
    },
    204: { description: 'deleted' },
    ...problems(401, 404),
  },
})

const restoreRoute = createRoute({
  ...base,
  method: 'post',
  path: '/{id}/restore',
  tags: ['assets'],
  summary: 'Undo a delete',
  responses: {
    200: { description: 'live again', content: { 'application/json': { schema: AssetSchema } } },
    ...problems(401, 404, 410),
  },
})

const cleanupRoute = createRoute({
  method: 'post',
  path: '/{id}/cleanup',
  tags: ['operations'],
  summary: 'Delete an asset for good',
  description:
    'Only a deleted asset, and before its grace has passed only with `force`. With the last reference the bytes go at once, without quarantine.',
  security: [{ bearer: [] }],
  request: { params: AssetIdParam, query: z.object({ force: z.enum(['true', 'false']).default('false') }) },
  responses: {
    200: {
      description: 'gone',
      content: {
        'application/json': {
          schema: z.object({ id: z.string(), hash: z.string(), original_removed: z.boolean() }),
        },
      },
    },
    ...problems(400, 401, 403, 404, 409),
  },
})

const collectRoute = createRoute({
  method: 'post',
  path: '/',
  tags: ['operations'],
  summary: 'Collect now',
  description:
    'What the schedule does, at once: purges what is past its grace, sets aside bytes that no row knows, and removes what is past its quarantine.',
  security: [{ bearer: [] }],
  responses: {
    200: {
      description: 'done; what went',
      content: {
        'application/json': {
          schema: z.object({
            purged: z.int(),
            set_aside: z.int(),
            originals_removed: z.int(),
            orphans_removed: z.int(),
          }),
        },
      },
    },
    ...problems(401, 403, 503),
  },
})

export interface LifecycleDeps {
  readonly guards: Guards
  readonly describe: DescribeAsset
  readonly deleting: Deleting
}

/** To be mounted at `/assets` and `/images`. */
export const createLifecycleRoutes = ({ guards, describe, deleting }: LifecycleDeps): Router => {
  const routes = createRouter()
  routes.openapi({ ...deleteRoute, middleware: guards.caller }, async (c) => {
    const id = parseAssetId(c.req.valid('param').id)
    const purge = await deleting.remove(id, c.get('principal'))
    return Object.keys(purge.tiers).length > 0 ? c.json({ id, purge }, 200) : c.body(null, 204)
  })
  routes.openapi({ ...restoreRoute, middleware: guards.caller }, async (c) => {
    const asset = await deleting.restore(parseAssetId(c.req.valid('param').id), c.get('principal'))
    return c.json(describe(asset, c.get('publicUrl')), 200)
  })
  return routes
}

export interface CleanupDeps {
  readonly guards: Guards
  readonly metadata: Metadata
  readonly purging: Purging
  readonly graceMs: number
}

/** To be mounted at `/internal/assets`. */
export const createCleanupRoutes = ({ guards, metadata, purging, graceMs }: CleanupDeps): Router => {
  const routes = createRouter()
  routes.openapi({ ...cleanupRoute, middleware: guards.admin }, async (c) => {
    const id = parseAssetId(c.req.valid('param').id)
    const asset = await findAsset(metadata.read, id)
    if (!asset) throw new AppError('not-found', `no asset ${id}`)
    if (!asset.deletedAt) throw new AppError('conflict', `the asset ${id} is live: delete it first`)
    const forced = c.req.valid('query').force === 'true'
    const deletedBefore = new Date(forced ? Date.now() : Date.now() - graceMs)
    if (asset.deletedAt > deletedBefore)
      throw new AppError('conflict', `the asset ${id} can still be restored: wait, or use force=true`)
    const outcome = await purging.purge(asset, { deletedBefore, bytes: 'removed' }, c.req.raw.signal)
    if (outcome === 'kept') throw new AppError('conflict', `the asset ${id} was restored or removed meanwhile`)
    return c.json({ id, hash: asset.digest, original_removed: outcome === 'last' }, 200)
  })
  return routes
}

/** To be mounted at `/internal/collect`. */
export const createCollectRoutes = (guards: Guards, { sweep, scan, stats }: Collector): Router => {
  const routes = createRouter()
  routes.openapi({ ...collectRoute, middleware: guards.admin }, async (c) => {
    const before = { ...stats }
    // The leases make it wait for a sweep on schedule; what that removes meanwhile is counted here too.
    await sweep(c.req.raw.signal)
    await scan(c.req.raw.signal)
    return c.json(
      {
        purged: stats.purged - before.purged,
        set_aside: stats.setAside - before.setAside,
        originals_removed: stats.originalsRemoved - before.originalsRemoved,
        orphans_removed: stats.orphansRemoved - before.orphansRemoved,
      },
      200,
    )
  })
  return routes
}
