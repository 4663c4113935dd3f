/**
 * Phase two of an end: the row goes, and with the last row the bytes, all under the digest's lock, which every upload of the same bytes
 * takes too. With a quarantine the bytes stay for a second grace, and only a row says so (`metadata/quarantine.ts`); without one, or
 * when it has passed, they go. The order is what keeps CONTRACT §7.3: rows in one transaction first, with a mark that a removal
 * has begun; then the bytes; then the mark that it is done. A crash in between leaves a mark and a file without a row (the collector
 * finds both), never a row without its file; and should the lock be lost, the mark is what an upload is refused by (`metadata/removals.ts`).
 */
import type { OriginalStore, VariantStore } from '../blobs/store.ts'
import { assertHeld, type ChangeNotices, type Lease, type Locker } from '../coordination/coordination.ts'
import { AppError } from '../core/errors.ts'
import type { AssetId, Digest } from '../core/ids.ts'
import { findAsset, purgeAsset } from '../metadata/assets.ts'
import type { Metadata, Queries } from '../metadata/database.ts'
import { findOriginal, removeOriginalIfUnreferenced } from '../metadata/originals.ts'
import type { Outbox } from '../metadata/outbox.ts'
import { findQuarantined, leaveQuarantine, quarantine } from '../metadata/quarantine.ts'
import { beginRemoval, endRemoval } from '../metadata/removals.ts'

export interface PurgePorts {
  readonly metadata: Metadata
  readonly originals: OriginalStore
  readonly variants: VariantStore
  readonly locker: Locker
  readonly notices: ChangeNotices
  readonly outbox: Outbox
}

/** `kept`: restored or gone meanwhile. `purged`: others still refer to the bytes. `last`: nothing does; the bytes went, or are in quarantine. */
export type PurgeOutcome = 'kept' | 'purged' | 'last'

/** Of bytes that nothing refers to any more. */
export type Bytes = 'to quarantine' | 'removed'

export interface Purging {
  /** Hard-deletes an asset that was deleted at or before `deletedBefore`. `signal` bounds the wait for the lock only. */
  purge(
    asset: { readonly id: AssetId; readonly digest: Digest },
    options: { readonly deletedBefore: Date; readonly bytes: Bytes },
    signal: AbortSignal,
  ): Promise<PurgeOutcome>
  /** Puts bytes that have no row into quarantine. False: they have one now, or are there already. */
  setAside(digest: Digest, signal: AbortSignal): Promise<boolean>
  /** Removes bytes that were put into quarantine at or before `before`. False: they were taken out again, or an upload has given them a row. */
  discard(digest: Digest, before: Date, signal: AbortSignal): Promise<boolean>
  /** Removes bytes that have no row, or finishes a removal that was left; answers false when an upload has
   *  given them a row meanwhile, or another removes them. */
  removeOrphan(digest: Digest, signal: AbortSignal): Promise<boolean>
}

export const createPurging = (ports: PurgePorts): Purging => {
  const { metadata, originals, variants, locker, notices, outbox } = ports

  const remove = async (lease: Lease, digest: Digest, version: number) => {
    assertHeld(lease)
    await variants.removeOf(digest)
    await originals.remove(digest)
    await metadata.transaction(async (transaction) => {
      await endRemoval(transaction, digest, version, new Date())
      await leaveQuarantine(transaction, digest)
    })
  }
  const removeIf = async (digest: Digest, signal: AbortSignal, wanted: (queries: Queries) => Promise<boolean>) => {
    await using lease = await locker.acquire(`digest:${digest}`, signal)
    assertHeld(lease)
    const version = await metadata.transaction(async (transaction) => {
      if (await findOriginal(transaction, digest)) await leaveQuarantine(transaction, digest)
      else if (await wanted(transaction)) return beginRemoval(transaction, digest, new Date())
      return undefined
    })
    if (version === undefined) return false
    await remove(lease, digest, version)
    return true
  }

  return {
    purge: async ({ id, digest }, { deletedBefore, bytes }, signal) => {
      await using lease = await locker.acquire(`digest:${digest}`, signal)
      assertHeld(lease)
      const { outcome, version } = await metadata.transaction((transaction) =>
        purgeRows(transaction, outbox, { id, digest, deletedBefore, bytes }),
      )
      if (outcome === 'kept') return outcome
      // Before the bytes go, so that delivery does not look for them in vain.
      await notices.publish(digest)
      if (version !== undefined) await remove(lease, digest, version)
      return outcome
    },
    setAside: async (digest, signal) => {
      await using lease = await locker.acquire(`digest:${digest}`, signal)
      assertHeld(lease)
      return metadata.transaction(async (transaction) => {
        if (await findOriginal(transaction, digest)) return false
        if (await findQuarantined(transaction, digest)) return false
        await quarantine(transaction, { digest, reason: 'orphan', last: undefined, at: new Date() })
        return true
      })
    },
    discard: (digest, before, signal) =>
      removeIf(digest, signal, async (transaction) => {
        const found = await findQuarantined(transaction, digest)
        return found !== undefined && found.at <= before
      }),
    removeOrphan: (digest, signal) => removeIf(digest, signal, async () => true),
  }
}

/** `version`: of the removal that has begun, where the bytes are to go. */
interface RowsGone {
  readonly outcome: PurgeOutcome
  readonly version?: number
}

const purgeRows = async (
  transaction: Queries,
  outbox: Outbox,
  { id, digest, deletedBefore, bytes }: { id: AssetId; digest: Digest; deletedBefore: Date; bytes: Bytes },
): Promise<RowsGone> => {
  const [asset, original] = [await findAsset(transaction, id), await findOriginal(transaction, digest)]
  if (!asset || !original || !(await purgeAsset(transaction, id, deletedBefore))) return { outcome: 'kept' }
  await outbox.append(transaction, [{ kind: 'purged', digest }])
  if (!(await removeOriginalIfUnreferenced(transaction, digest))) return { outcome: 'purged' }
  const at = new Date()
  if (bytes === 'to quarantine') {
    await quarantine(transaction, { digest, reason: 'purged', last: { asset, original }, at })
    return { outcome: 'last' }
  }
  const version = await beginRemoval(transaction, digest, at)
  // No row is committed while bytes are being removed, so there is none to purge.
  if (version === undefined) throw new AppError('internal', `the bytes of ${digest} are being removed already`)
  return { outcome: 'last', version }
}
