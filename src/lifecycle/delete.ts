/** Phase one of an end: the soft delete, which hides an asset at once and can be undone until its grace has passed. */
import type { ChangeNotices } from '../coordination/coordination.ts'
import type { PurgeReceipt } from '../coordination/purge-receipt.ts'
import type { Asset } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import type { AssetId } from '../core/ids.ts'
import { ownAsset } from '../http/own-asset.ts'
import type { Principal } from '../http/principal.ts'
import { findAsset, setDeletedAt } from '../metadata/assets.ts'
import type { Metadata } from '../metadata/database.ts'
import type { Outbox } from '../metadata/outbox.ts'

export interface DeletePorts {
  readonly metadata: Metadata
  readonly notices: ChangeNotices
  readonly outbox: Outbox
  /** How long a deleted asset can be restored. */
  readonly graceMs: number
}

export interface Deleting {
  /** Hidden on every path of the origin when it resolves; the receipt says which edges know. Again is no error. @throws AppError `not-found`. */
  remove(id: AssetId, principal: Principal): Promise<PurgeReceipt>
  /** Live again when it resolves; a live asset stays as it is. @throws AppError `not-found`, `gone` once the grace has passed. */
  restore(id: AssetId, principal: Principal): Promise<Asset>
}

export const createDeleting = ({ metadata, notices, outbox, graceMs }: DeletePorts): Deleting => ({
  remove: async (id, principal) => {
    const digest = await metadata.transaction(async (transaction) => {
      const asset = ownAsset(await findAsset(transaction, id), id, principal)
      const now = new Date()
      if (!asset.deletedAt) {
        await setDeletedAt(transaction, asset, now, now)
        await outbox.append(transaction, [{ kind: 'hidden', digest: asset.digest }])
      }
      return asset.digest
    })
    // Also on a repeat: the first call may have died between its commit and its notice.
    const { tiers } = await notices.publish(digest)
    return { tiers }
  },
  restore: async (id, principal) => {
    const restored = await metadata.transaction(async (transaction) => {
      const asset = ownAsset(await findAsset(transaction, id), id, principal)
      if (!asset.deletedAt) return asset
      const now = new Date()
      if (asset.deletedAt.getTime() + graceMs <= now.getTime())
        throw new AppError('gone', `the asset ${id} was deleted at ${asset.deletedAt.toISOString()}, too long ago`)
      await setDeletedAt(transaction, asset, null, now)
      await outbox.append(transaction, [{ kind: 'shown', digest: asset.digest }])
      return { ...asset, deletedAt: null, updatedAt: now }
    })
    await notices.publish(restored.digest)
    return restored
  },
})
