/** Which store of originals and variants `ORIEL_BLOBS` chooses, opened; and how each says whether it is well. */
import type { Logger } from 'pino'
import type { Config } from '../config/environment.ts'
import type { ChunkStore } from './blobs/chunk-store.ts'
import { checkDisk, checkStaging } from './blobs/disk-check.ts'
import { openDiskChunks } from './blobs/disk-chunks.ts'
import { openDiskOriginals } from './blobs/disk-originals.ts'
import { openDiskVariants } from './blobs/disk-variants.ts'
import type { S3Location } from './blobs/s3-location.ts'
import type { OriginalLister, OriginalStore, TieredOriginals, VariantLister, VariantStore } from './blobs/store.ts'
import type { EngineHealth } from './http/ops.ts'
import type { StatsSource } from './telemetry.ts'

export interface Blobs {
  readonly originals: OriginalStore & OriginalLister
  readonly variants: VariantStore & VariantLister & { readonly stats: object }
  /** Bytes of resumable uploads in progress. */
  readonly chunks: ChunkStore
  /** Removes variants last used before that; answers how many. On S3 the bucket's own rule does it (`variant_days`). */
  readonly expireVariants: ((before: Date) => Promise<number>) | undefined
  /** Moves originals to a colder class of storage, where the configuration names one: unseen for so long. */
  readonly cold: { readonly tiers: TieredOriginals; readonly unseenMs: number } | undefined
  /** Of the store as a whole, beside the variants' own. */
  readonly stats: readonly StatsSource[]
  /** @throws when the store is down. */
  check(): Promise<EngineHealth>
}

const DAY_MS = 24 * 60 * 60 * 1000

type BlobsConfig = Pick<
  Config,
  'ORIEL_BLOBS' | 'ORIEL_PARTS_KEY' | 'ORIEL_DATA' | 'ORIEL_VARIANT_BUDGET' | 'ORIEL_COPY_BUDGET'
>

/** @param opened takes over what has to be closed. */
export const openBlobs = async (config: BlobsConfig, log: Logger, opened: AsyncDisposableStack): Promise<Blobs> => {
  const { ORIEL_BLOBS: chosen, ORIEL_DATA: folder } = config
  if (chosen.kind === 's3') return openS3(chosen, config, log, opened)
  const originals = opened.use(await openDiskOriginals(folder))
  const variants = opened.use(await openDiskVariants({ folder, budgetBytes: config.ORIEL_VARIANT_BUDGET }))
  const chunks = await openDiskChunks({ folder, publish: originals.publish })
  const stats = [{ area: 'originals', read: () => ({ ...originals.stats }) }]
  return {
    originals,
    variants,
    expireVariants: variants.expire,
    cold: undefined,
    chunks,
    stats,
    check: () => diskHealth(folder),
  }
}

export const diskHealth = async (folder: string): Promise<EngineHealth> => {
  await checkDisk(folder)
  return { state: 'ready', detail: `disk, ${folder}` }
}

/** Loaded only here: the SDK is 44 MB of memory and 230 ms of start that an embedded origin does not need. */
const openS3 = async (
  location: S3Location,
  config: BlobsConfig,
  log: Logger,
  opened: AsyncDisposableStack,
): Promise<Blobs> => {
  const { ORIEL_PARTS_KEY: partsKey, ORIEL_DATA: folder, ORIEL_COPY_BUDGET: copyBudgetBytes } = config
  const { openS3Blobs } = await import('./blobs/s3-blobs.ts')
  const s3 = opened.use(await openS3Blobs({ location, partsKey, folder, copyBudgetBytes, log }))
  const { originals, variants, chunks } = s3
  return {
    originals,
    variants,
    chunks,
    expireVariants: undefined,
    cold: s3.tiers && location.cold && { tiers: s3.tiers, unseenMs: location.cold.unseenDays * DAY_MS },
    stats: [
      { area: 's3', read: () => ({ ...s3.stats }) },
      { area: 'copies', read: () => ({ ...originals.copyStats }) },
    ],
    check: async () => {
      await checkStaging(folder)
      const fault = await s3.check()
      const detail = `S3, bucket ${location.bucket}`
      // Not `down`: every origin has the same store, so a balancer would take them all away, and with them what memory serves.
      return fault === undefined ? { state: 'ready', detail } : { state: 'degraded', detail: `${detail}: ${fault}` }
    },
  }
}
