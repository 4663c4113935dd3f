/** Whose asset a caller may touch. What is another's looks like what does not exist: an id must not be confirmed to a stranger. */
import { z } from '@hono/zod-openapi'
import type { Asset } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import type { AssetId } from '../core/ids.ts'
import type { Principal } from './principal.ts'

/** Path parameter of every call on one asset. */
export const AssetIdParam = z.object({
  id: z.string().openapi({ param: { name: 'id', in: 'path' }, example: 'a_3q2-7wEoR0eXbC1dYh9zUQ' }),
})

/** The caller's own asset, live or deleted. @throws AppError `not-found` for none and for another's. */
export const ownAsset = (asset: Asset | undefined, id: AssetId, principal: Principal): Asset => {
  if (!asset || asset.ownerId !== principal.ownerId) throw new AppError('not-found', `no asset ${id}`)
  return asset
}

/** The same for reading, where an administrator sees everybody's. */
export const readableAsset = (asset: Asset | undefined, id: AssetId, principal: Principal): Asset =>
  asset && principal.admin ? asset : ownAsset(asset, id, principal)

/** @throws AppError `gone` for a deleted asset. */
export const liveAsset = (asset: Asset): Asset => {
  if (asset.deletedAt) throw new AppError('gone', `the asset ${asset.id} was deleted`)
  return asset
}
