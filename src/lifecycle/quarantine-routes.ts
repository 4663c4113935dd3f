/** `/internal/quarantine`: an administrator sees bytes in their second grace, and takes them out again. */
import { createRoute, z } from '@hono/zod-openapi'
import type { OriginalStore } from '../blobs/store.ts'
import { assertHeld, type ChangeNotices, type Locker } from '../coordination/coordination.ts'
import type { Asset } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import { type Digest, parseDigest } from '../core/ids.ts'
import { AssetSchema, type DescribeAsset } from '../http/asset-document.ts'
import { createRouter, problems, type Router } from '../http/context.ts'
import type { Guards } from '../http/principal.ts'
import { seeArrival } from '../metadata/arrivals.ts'
import { insertAssets } from '../metadata/assets.ts'
import type { Metadata } from '../metadata/database.ts'
import { insertOriginals } from '../metadata/originals.ts'
import type { Outbox } from '../metadata/outbox.ts'
import { findQuarantined, leaveQuarantine, pageQuarantine } from '../metadata/quarantine.ts'

const base = { tags: ['operations'], security: [{ bearer: [] }] }

const Entry = z.object({
  hash: z.string(),
  reason: z.enum(['purged', 'orphan']),
  asset_id: z.string().nullable().openapi({ description: 'the last asset of these bytes; an orphan has none' }),
  at: z.string(),
  removed_after: z.string(),
})

const listRoute = createRoute({
  ...base,
  method: 'get',
  path: '/',
  summary: 'Bytes that nothing refers to and that are not removed yet',
  request: {
    query: z.object({
      cursor: z
        .string()
        .regex(/^\d{1,15}\.[0-9a-f]{0,64}$/, 'a cursor of this list')
        .optional(),
      limit: z.coerce.number().int().min(1).max(500).default(50),
    }),
  },
  responses: {
    200: {
      description: 'a page, longest there first',
      content: {
        'application/json': { schema: z.object({ entries: z.array(Entry), next_cursor: z.string().nullable() }) },
      },
    },
    ...problems(400, 401, 403),
  },
})

const restoreRoute = createRoute({
  ...base,
  method: 'post',
  path: '/{hash}/restore',
  summary: 'Undo the removal of the last asset',
  description:
    'The asset is live again, with its id, as it was before it was deleted. An orphan has none: upload its bytes again.',
  request: { params: z.object({ hash: z.string() }) },
  responses: {
    200: { description: 'live again', content: { 'application/json': { schema: AssetSchema } } },
    ...problems(400, 401, 403, 404, 409, 503),
  },
})

export interface QuarantineDeps {
  readonly guards: Guards
  readonly describe: DescribeAsset
  readonly metadata: Metadata
  readonly originals: Pick<OriginalStore, 'size'>
  readonly locker: Locker
  readonly notices: ChangeNotices
  readonly outbox: Outbox
  readonly quarantineMs: number
}

/** To be mounted at `/internal/quarantine`. */
export const createQuarantineRoutes = (deps: QuarantineDeps): Router => {
  const { guards, describe, metadata, quarantineMs } = deps
  const routes = createRouter()
  routes.openapi({ ...listRoute, middleware: guards.admin }, async (c) => {
    const { cursor = '0.', limit } = c.req.valid('query')
    const [at = '0', digest = ''] = cursor.split('.')
    const found = await pageQuarantine(metadata.search, {
      before: new Date(),
      after: { at: Number(at), digest },
      limit: limit + 1,
    })
    const page = found.slice(0, limit)
    const last = found.length > limit ? page.at(-1) : undefined
    return c.json(
      {
        entries: page.map((entry) => ({
          hash: entry.digest,
          reason: entry.reason,
          asset_id: entry.last?.asset.id ?? null,
          at: entry.at.toISOString(),
          removed_after: new Date(entry.at.getTime() + quarantineMs).toISOString(),
        })),
        next_cursor: last ? `${last.at.getTime()}.${last.digest}` : null,
      },
      200,
    )
  })
  routes.openapi({ ...restoreRoute, middleware: guards.admin }, async (c) => {
    const asset = await takeOut(deps, parseDigest(c.req.valid('param').hash), c.req.raw.signal)
    return c.json(describe(asset, c.get('publicUrl')), 200)
  })
  return routes
}

/**
 * Rows again for bytes in quarantine, under the lock that their removal takes.
 * @throws AppError `not-found`; `conflict` where there is nothing to restore, or the bytes are known again; `busy` while they are being removed.
 */
export const takeOut = async (
  { metadata, originals, locker, notices, outbox }: Omit<QuarantineDeps, 'guards' | 'describe' | 'quarantineMs'>,
  digest: Digest,
  signal: AbortSignal,
): Promise<Asset> => {
  await using lease = await locker.acquire(`digest:${digest}`, signal)
  const size = await originals.size(digest)
  assertHeld(lease)
  const asset = await metadata.transaction(async (transaction) => {
    const { known } = await seeArrival(transaction, digest)
    const found = await findQuarantined(transaction, digest)
    if (!found) throw new AppError('not-found', `${digest} is not in quarantine`)
    if (!found.last) throw new AppError('conflict', `nothing is known of ${digest} but its bytes: upload them again`)
    if (known) throw new AppError('conflict', `the bytes of ${digest} were uploaded again`)
    if (size !== found.last.original.bytes) throw new AppError('conflict', `the bytes of ${digest} are gone`)
    const live = { ...found.last.asset, deletedAt: null, updatedAt: new Date() }
    await insertOriginals(transaction, [found.last.original])
    await insertAssets(transaction, [live])
    await leaveQuarantine(transaction, digest)
    // A scan that had not come to it found no row, and was done with it: it must be asked for again, as of new bytes.
    const unseen = found.last.original.condition?.scan === 'pending'
    await outbox.append(transaction, [{ kind: unseen ? 'added' : 'shown', digest }])
    return live
  })
  await notices.publish(digest)
  return asset
}
