/**
 * Phase two of an end: the row goes, and with the last row the bytes, all under the digest's lock, which every upload of
 * the same bytes takes too. The order is what keeps CONTRACT §7.3: rows in one transaction first, the blob last, so that
 * a crash in between leaves a file without a row (the collector finds it), never a row without its file.
 */
import type { OriginalStore, VariantStore } from '../blobs/store.ts'
import type { ChangeNotices, Locker } from '../coordination/coordination.ts'
import type { AssetId, Digest } from '../core/ids.ts'
import { purgeAsset } from '../metadata/assets.ts'
import type { Metadata } from '../metadata/database.ts'
import { findOriginal, removeOriginalIfUnreferenced } from '../metadata/originals.ts'

export interface PurgePorts {
  readonly metadata: Metadata
  readonly originals: OriginalStore
  readonly variants: VariantStore
  readonly locker: Locker
  readonly notices: ChangeNotices
}

/** `kept`: restored or gone meanwhile. `purged`: others still refer to the bytes. `last`: the bytes went too. */
export type PurgeOutcome = 'kept' | 'purged' | 'last'

export interface Purging {
  /** Hard-deletes an asset that was deleted at or before `deletedBefore`. `signal` bounds the wait for the lock only. */
  purge(
    asset: { readonly id: AssetId; readonly digest: Digest },
    deletedBefore: Date,
    signal: AbortSignal,
  ): Promise<PurgeOutcome>
  /** Removes bytes that have no row; answers false when an upload has given them one meanwhile. */
  removeOrphan(digest: Digest, signal: AbortSignal): Promise<boolean>
}

export const createPurging = ({ metadata, originals, variants, locker, notices }: PurgePorts): Purging => {
  const removeBytes = async (digest: Digest) => {
    await variants.removeOf(digest)
    await originals.remove(digest)
  }
  return {
    purge: async ({ id, digest }, deletedBefore, signal) => {
      await using _lease = await locker.acquire(`digest:${digest}`, signal)
      const outcome = await metadata.transaction(async (transaction): Promise<PurgeOutcome> => {
        if (!(await purgeAsset(transaction, id, deletedBefore))) return 'kept'
        return (await removeOriginalIfUnreferenced(transaction, digest)) ? 'last' : 'purged'
      })
      if (outcome === 'kept') return outcome
      // Before the bytes go, so that delivery does not look for them in vain.
      await notices.publish(digest)
      if (outcome === 'last') await removeBytes(digest)
      return outcome
    },
    removeOrphan: async (digest, signal) => {
      await using _lease = await locker.acquire(`digest:${digest}`, signal)
      if (await findOriginal(metadata.read, digest)) return false
      await removeBytes(digest)
      return true
    },
  }
}
