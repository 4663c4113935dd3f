/** From staged bytes to an acknowledged asset: bytes first, then every row in one transaction, all under the digest's lock. */
import { createHash } from 'node:crypto'
import type { OriginalStore, Staged } from '../blobs/store.ts'
import { assertHeld, type ChangeNotices, type Locker } from '../coordination/coordination.ts'
import type { Asset, AssetDetails, ScanState } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import { createGroupCommit, type GroupCommitStats } from '../core/group-commit.ts'
import { newAssetId, type OwnerId } from '../core/ids.ts'
import { applyPatch, type DetailsText } from '../http/asset-details.ts'
import type { Prober } from '../imaging/renderer-port.ts'
import { seeArrival } from '../metadata/arrivals.ts'
import { findAsset, insertAssets } from '../metadata/assets.ts'
import { setFault } from '../metadata/condition.ts'
import type { Metadata } from '../metadata/database.ts'
import { findIdempotent, type IdempotencyRecord, saveIdempotent } from '../metadata/idempotency.ts'
import { insertOriginals, type OriginalRecord } from '../metadata/originals.ts'
import type { Outbox } from '../metadata/outbox.ts'
import { refuseIfRemoved, type SeenRemoval } from '../metadata/removals.ts'
import { type UploadPolicy, validateFacts } from './validate.ts'

/** Items of one transaction: 64 × 3 rows are some 2 ms of statements beside an fsync of the same length. */
const MAX_BATCH = 64

export interface CommitPorts {
  readonly originals: OriginalStore
  readonly prober: Prober
  readonly metadata: Metadata
  readonly locker: Locker
  readonly notices: ChangeNotices
  readonly policy: UploadPolicy
  /** Of an upload that says nothing about it. */
  readonly defaultVisibility: Asset['visibility']
  readonly outbox: Outbox
  /** Of bytes that are new: `pending` where a scanner is to look at them. */
  readonly newScan: Extract<ScanState, 'none' | 'pending'>
}

export interface Upload {
  /** The caller disposes of it. */
  readonly staged: Staged
  readonly ownerId: OwnerId
  readonly details: DetailsText
  readonly idempotencyKey: string | undefined
}

export interface Committed {
  readonly asset: Asset
  /** The bytes were in the store already. */
  readonly deduplicated: boolean
  /** False for a retry that found its asset made. */
  readonly created: boolean
}

interface CommitItem {
  readonly asset: Asset
  readonly original: OriginalRecord
  readonly idempotency: IdempotencyRecord | undefined
  /** As it was before the bytes were looked for. */
  readonly removal: SeenRemoval
  /** The store's bytes had a fault, and this upload has replaced them. */
  readonly cured: boolean
}

/**
 * @returns the use case, and the counters of its transactions.
 * The use case throws what the prober throws of the bytes, `too-large`/`unsupported-type` by policy, `unprocessable` when
 * the idempotency key was used for another upload, `gone` when its asset has been deleted since, `busy` on a full disk, when the
 * database is away, and when the upload lost against a removal of the same bytes or another use of its key.
 */
export const createCommit = (
  ports: CommitPorts,
): { commit: (upload: Upload, signal: AbortSignal) => Promise<Committed>; stats: Readonly<GroupCommitStats> } => {
  const { metadata, locker } = ports
  const group = createGroupCommit<CommitItem>((items) => writeRows(ports, items), MAX_BATCH)

  const store = async (upload: Upload, fingerprint: string, signal: AbortSignal): Promise<Committed> => {
    const { staged, ownerId, idempotencyKey } = upload
    await using lease = await locker.acquire(`digest:${staged.digest}`, signal)
    const { removal, known } = await seeArrival(metadata.read, staged.digest)
    const original = known ?? (await probe(ports, staged, signal))
    validateFacts(original.facts, ports.policy)
    // A known hash has its bytes, unless the disk lost them: then this upload is the cure.
    const faulty = known !== undefined && known.condition?.fault !== null
    // A store that only adds would keep the wrong bytes.
    if (faulty) await ports.originals.remove(staged.digest)
    const missing = !known || (await ports.originals.size(staged.digest)) !== staged.bytes
    // Rows tell of these bytes already: a new file would have its name before it is whole on the disk, for a moment.
    if (missing && known) await staged.file()
    if (missing) await staged.publish()
    const asset = newAsset(upload, original, ports.defaultVisibility)
    const deduplicated = known !== undefined
    const idempotency = idempotencyKey && { ownerId, key: idempotencyKey, fingerprint, assetId: asset.id, deduplicated }
    assertHeld(lease)
    await group
      .commit({ asset, original, idempotency: idempotency || undefined, removal, cured: faulty })
      .catch(toldToRetry)
    await ports.notices.publish(staged.digest, 'added')
    return { asset, deduplicated, created: true }
  }

  const commit = async (upload: Upload, signal: AbortSignal): Promise<Committed> => {
    const { ownerId, idempotencyKey } = upload
    if (idempotencyKey === undefined) return store(upload, '', signal)
    const fingerprint = fingerprintOf(upload)
    await using _turn = await locker.acquire(`idempotency:${ownerId}:${idempotencyKey}`, signal)
    const earlier = await findIdempotent(metadata.read, ownerId, idempotencyKey, new Date())
    // Awaited here: the turn ends with this block, not with the promise that it returns.
    return earlier ? await replay(metadata, earlier, fingerprint) : await store(upload, fingerprint, signal)
  }
  return { commit, stats: group.stats }
}

const probe = async (
  { prober, newScan }: Pick<CommitPorts, 'prober' | 'newScan'>,
  staged: Staged,
  signal: AbortSignal,
): Promise<OriginalRecord> => ({
  ...(await prober.probe(staged.file, signal, staged.ends)),
  digest: staged.digest,
  bytes: staged.bytes,
  condition: { scan: newScan, fault: null },
})

const newAsset = (
  { staged, ownerId, details }: Upload,
  original: OriginalRecord,
  visibility: Asset['visibility'],
): Asset => {
  const now = new Date()
  const fromFile: AssetDetails = {
    filename: null,
    title: null,
    description: null,
    visibility,
    tags: [],
    location: original.location,
    takenAt: original.takenAt,
  }
  return {
    ...applyPatch(fromFile, details),
    id: newAssetId(),
    ownerId,
    digest: staged.digest,
    bytes: staged.bytes,
    facts: original.facts,
    // A fault that was there has just been cured.
    condition: { scan: original.condition?.scan ?? 'none', fault: null },
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
  }
}

/** Who lost a race inside the transaction has nothing to mend: the same upload again finds what the winner left. */
const toldToRetry = (error: unknown): never => {
  if (error instanceof AppError && error.kind === 'conflict')
    throw new AppError('busy', error.message, { cause: error, retryAfterSeconds: 1 })
  throw error
}

const writeRows = (
  { metadata, outbox }: Pick<CommitPorts, 'metadata' | 'outbox'>,
  items: readonly CommitItem[],
): Promise<void> =>
  metadata.transaction(async (transaction) => {
    await refuseIfRemoved(
      transaction,
      items.map(({ removal }) => removal),
    )
    const originals = new Map(items.map(({ original }) => [original.digest, original]))
    await insertOriginals(transaction, [...originals.values()])
    await insertAssets(
      transaction,
      items.map(({ asset }) => asset),
    )
    await saveIdempotent(
      transaction,
      items.flatMap(({ idempotency }) => idempotency ?? []),
      new Date(),
    )
    for (const { asset, cured } of items) if (cured) await setFault(transaction, asset.digest, null)
    await outbox.append(
      transaction,
      items.map(({ asset }) => ({ kind: 'added', digest: asset.digest })),
    )
  })

const fingerprintOf = ({ staged, details }: Upload): string =>
  createHash('sha256')
    .update(JSON.stringify([staged.digest, Object.entries(details).sort(([a], [b]) => (a < b ? -1 : 1))]))
    .digest('hex')

const replay = async (metadata: Metadata, earlier: IdempotencyRecord, fingerprint: string): Promise<Committed> => {
  if (earlier.fingerprint !== fingerprint)
    throw new AppError('unprocessable', 'this Idempotency-Key was used for another upload')
  const asset = await findAsset(metadata.read, earlier.assetId)
  if (!asset || asset.deletedAt) throw new AppError('gone', `the asset ${earlier.assetId} of this key was deleted`)
  return { asset, deduplicated: earlier.deduplicated, created: false }
}
