/** `GET …/{id}`, `GET …/{id}/metadata`, `PATCH …/{id}`: one asset and what is said about it. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Asset } from '../core/asset.ts'
import type { AssetEventKind } from '../core/asset-event.ts'
import { parseAssetId } from '../core/ids.ts'
import { applyPatch, DetailsPatch } from '../http/asset-details.ts'
import { AssetSchema } from '../http/asset-document.ts'
import { problems, type Router } from '../http/context.ts'
import { jsonBody } from '../http/json-body.ts'
import { AssetIdParam, liveAsset, ownAsset, readableAsset } from '../http/own-asset.ts'
import { PurgeSchema } from '../http/purge-document.ts'
import { findAsset, updateDetails } from '../metadata/assets.ts'
import { findOriginal } from '../metadata/originals.ts'
import type { LibraryDeps } from './ports.ts'

const SignedAsset = AssetSchema.extend({
  signed_url: z.string().openapi({ description: 'the original, for a few minutes' }),
  signed_url_expires_at: z.string(),
}).openapi('SignedAsset')

const Metadata = z
  .object({
    id: z.string(),
    hash: z.string(),
    format: z.string(),
    bytes: z.int(),
    width: z.int(),
    height: z.int(),
    orientation: z.int(),
    pages: z.int(),
    animated: z.boolean(),
    has_alpha: z.boolean(),
    colour_space: z.string(),
    has_profile: z.boolean(),
    camera: z.string().nullable(),
    taken_at: z.string().nullable(),
    location: z.object({ latitude: z.number(), longitude: z.number() }).nullable(),
  })
  .openapi('FileMetadata')

const base = { tags: ['assets'], security: [{ bearer: [] }] }

const getRoute = createRoute({
  ...base,
  method: 'get',
  path: '/{id}',
  summary: 'One asset, with a signed URL of its original',
  request: { params: AssetIdParam },
  responses: {
    200: { description: 'the asset', content: { 'application/json': { schema: SignedAsset } } },
    ...problems(401, 404, 410),
  },
})

const metadataRoute = createRoute({
  ...base,
  method: 'get',
  path: '/{id}/metadata',
  summary: 'What the file itself says',
  description:
    'Facts of the original as it was uploaded, camera, time and place of its EXIF among them. Never in a variant.',
  request: { params: AssetIdParam },
  responses: {
    200: { description: 'the facts', content: { 'application/json': { schema: Metadata } } },
    ...problems(401, 404, 410),
  },
})

const patchRoute = createRoute({
  ...base,
  method: 'patch',
  path: '/{id}',
  summary: 'Change what is said about an asset',
  description:
    'What is absent stays, null clears. Made private, it is served to no stranger from the moment of the answer.',
  request: {
    params: AssetIdParam,
    body: { required: true, content: { 'application/json': { schema: DetailsPatch } } },
  },
  responses: {
    200: {
      description: 'the asset as it is now; where it is private now, which tiers in front of the origin know',
      content: { 'application/json': { schema: AssetSchema.extend({ purge: PurgeSchema.optional() }) } },
    },
    ...problems(400, 401, 404, 408, 410, 413, 415),
  },
})

export const mountDetails = (routes: Router, deps: LibraryDeps): void => {
  const { metadata, guards, describe, urls, notices, outbox } = deps

  routes.openapi({ ...getRoute, middleware: guards.caller }, async (c) => {
    const id = parseAssetId(c.req.valid('param').id)
    const asset = liveAsset(readableAsset(await findAsset(metadata.read, id), id, c.get('principal')))
    const { url, expiresAt } = urls.signed(c.get('publicUrl'), asset, 'original')
    return c.json(
      { ...describe(asset, c.get('publicUrl')), signed_url: url, signed_url_expires_at: expiresAt.toISOString() },
      200,
    )
  })

  routes.openapi({ ...metadataRoute, middleware: guards.caller }, async (c) => {
    const id = parseAssetId(c.req.valid('param').id)
    const asset = liveAsset(readableAsset(await findAsset(metadata.read, id), id, c.get('principal')))
    const original = await findOriginal(metadata.read, asset.digest)
    const { format, width, height, orientation, pages, animated, hasAlpha, colourSpace, hasProfile } = asset.facts
    return c.json(
      {
        id: asset.id,
        hash: asset.digest,
        format,
        bytes: asset.bytes,
        width,
        height,
        orientation,
        pages,
        animated,
        has_alpha: hasAlpha,
        colour_space: colourSpace,
        has_profile: hasProfile,
        camera: original?.camera ?? null,
        taken_at: original?.takenAt ?? null,
        location: original?.location ?? null,
      },
      200,
    )
  })

  routes.openapi({ ...patchRoute, middleware: [guards.caller, jsonBody] as const }, async (c) => {
    const id = parseAssetId(c.req.valid('param').id)
    const patch = c.req.valid('json')
    const changed = await metadata.transaction(async (transaction) => {
      const asset = liveAsset(ownAsset(await findAsset(transaction, id), id, c.get('principal')))
      const now = new Date()
      const details = applyPatch(asset, patch)
      await updateDetails(transaction, asset, details, now)
      await outbox.append(transaction, [{ kind: eventOf(asset, details), digest: asset.digest }])
      return { ...asset, ...details, updatedAt: now }
    })
    const { tiers } = await notices.publish(changed.digest)
    // Also where it was private before: the first call may have died before it told.
    const told = changed.visibility === 'private' && Object.keys(tiers).length > 0 && { purge: { tiers } }
    return c.json({ ...describe(changed, c.get('publicUrl')), ...told }, 200)
  })
}

const eventOf = (before: Pick<Asset, 'visibility'>, after: Pick<Asset, 'visibility'>): AssetEventKind =>
  before.visibility === after.visibility ? 'updated' : after.visibility === 'private' ? 'hidden' : 'shown'
