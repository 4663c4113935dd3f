/**
 * Phase two of an end: the row goes, and with the last row the bytes, all under the digest's lock, which every upload of
 * the same bytes takes too. The order is what keeps CONTRACT §7.3: rows in one transaction first, with a mark that a removal
 * has begun; then the bytes; then the mark that it is done. A crash in between leaves a mark and a file without a row (the collector
 * finds both), never a row without its file; and should the lock be lost, the mark is what an upload is refused by (`metadata/removals.ts`).
 */
import type { OriginalStore, VariantStore } from '../blobs/store.ts'
import { assertHeld, type ChangeNotices, type Lease, type Locker } from '../coordination/coordination.ts'
import { AppError } from '../core/errors.ts'
import type { AssetId, Digest } from '../core/ids.ts'
import { purgeAsset } from '../metadata/assets.ts'
import type { Metadata } from '../metadata/database.ts'
import { findOriginal, removeOriginalIfUnreferenced } from '../metadata/originals.ts'
import { beginRemoval, endRemoval } from '../metadata/removals.ts'

export interface PurgePorts {
  readonly metadata: Metadata
  readonly originals: OriginalStore
  readonly variants: VariantStore
  readonly locker: Locker
  readonly notices: ChangeNotices
}

/** `kept`: restored or gone meanwhile. `purged`: others still refer to the bytes. `last`: the bytes went too. */
export type PurgeOutcome = 'kept' | 'purged' | 'last'

/** `version`: of the removal that has begun, where the bytes are to go. */
interface RowsGone {
  readonly outcome: PurgeOutcome
  readonly version?: number
}

export interface Purging {
  /** Hard-deletes an asset that was deleted at or before `deletedBefore`. `signal` bounds the wait for the lock only. */
  purge(
    asset: { readonly id: AssetId; readonly digest: Digest },
    deletedBefore: Date,
    signal: AbortSignal,
  ): Promise<PurgeOutcome>
  /** Removes bytes that have no row, or finishes a removal that was left; answers false when an upload has
   *  given them a row meanwhile, or another removes them. */
  removeOrphan(digest: Digest, signal: AbortSignal): Promise<boolean>
}

export const createPurging = ({ metadata, originals, variants, locker, notices }: PurgePorts): Purging => {
  const removeBytes = async (lease: Lease, digest: Digest, version: number) => {
    assertHeld(lease)
    await variants.removeOf(digest)
    await originals.remove(digest)
    await metadata.transaction((transaction) => endRemoval(transaction, digest, version, new Date()))
  }
  return {
    purge: async ({ id, digest }, deletedBefore, signal) => {
      await using lease = await locker.acquire(`digest:${digest}`, signal)
      assertHeld(lease)
      const { outcome, version } = await metadata.transaction(async (transaction): Promise<RowsGone> => {
        if (!(await purgeAsset(transaction, id, deletedBefore))) return { outcome: 'kept' }
        if (!(await removeOriginalIfUnreferenced(transaction, digest))) return { outcome: 'purged' }
        const version = await beginRemoval(transaction, digest, new Date())
        // No row is committed while bytes are being removed, so there is none to purge.
        if (version === undefined) throw new AppError('internal', `the bytes of ${digest} are being removed already`)
        return { outcome: 'last', version }
      })
      if (outcome === 'kept') return outcome
      // Before the bytes go, so that delivery does not look for them in vain.
      await notices.publish(digest)
      if (version !== undefined) await removeBytes(lease, digest, version)
      return outcome
    },
    removeOrphan: async (digest, signal) => {
      await using lease = await locker.acquire(`digest:${digest}`, signal)
      assertHeld(lease)
      const version = await metadata.transaction(async (transaction) =>
        (await findOriginal(transaction, digest)) ? undefined : beginRemoval(transaction, digest, new Date()),
      )
      if (version === undefined) return false
      await removeBytes(lease, digest, version)
      return true
    },
  }
}
