/** Both stores over one bucket: connected, tried, its lifecycle rules put. */
import type { ChunkStore } from './chunk-store.ts'
import { createS3Bucket } from './s3-bucket.ts'
import { probeS3, type S3Log } from './s3-capabilities.ts'
import { createS3Chunks } from './s3-chunks.ts'
import { connectS3, type S3ConnectionOptions, type S3Stats } from './s3-client.ts'
import { judgeS3Error, nameS3Error } from './s3-faults.ts'
import { ensureLifecycle } from './s3-lifecycle.ts'
import type { PartsKey, S3Location } from './s3-location.ts'
import { openS3Originals, type S3Originals } from './s3-originals.ts'
import { openSigner } from './s3-signer.ts'
import { createS3Tiers, probeColdClass } from './s3-tiers.ts'
import { createS3Variants, type S3Variants } from './s3-variants.ts'
import type { TieredOriginals } from './store.ts'

/** Below the second after which a readiness check counts as failed. */
const CHECK_LIMIT_MS = 900

export interface S3BlobsOptions extends S3ConnectionOptions {
  readonly location: S3Location
  /** What is signed for clients is signed with this. */
  readonly partsKey: PartsKey | undefined
  /** The data folder, for uploads under way and local copies. */
  readonly folder: string
  readonly copyBudgetBytes: number
  /** Age of a variant at which a use writes it anew, for tests. Default a day. */
  readonly rewriteEveryMs?: number
  readonly log: S3Log
}

export interface S3Blobs extends Disposable {
  readonly originals: S3Originals
  readonly variants: S3Variants
  readonly chunks: ChunkStore
  /** Where the location names a colder class. */
  readonly tiers: TieredOriginals | undefined
  readonly stats: Readonly<S3Stats>
  /** @returns undefined when the store answers, else why not. @throws Error when it refuses: bucket, credentials. */
  check(): Promise<string | undefined>
}

/** @throws Error when the store refuses to be used as the location says. One that does not answer is no error. */
export const openS3Blobs = async ({
  location,
  partsKey,
  folder,
  copyBudgetBytes,
  rewriteEveryMs,
  log,
  ...options
}: S3BlobsOptions): Promise<S3Blobs> => {
  const connection = connectS3(location, options)
  try {
    const bucket = createS3Bucket(connection)
    const { conditionalPut } = await probeS3(bucket, location, log)
    await ensureLifecycle(connection, log)
    const { cold } = location
    if (cold) await probeColdClass(connection, bucket, cold.storageClass, log)
    const originals = await openS3Originals({
      folder,
      connection,
      bucket,
      conditional: conditionalPut,
      copyBudgetBytes,
    })
    return {
      originals,
      chunks: createS3Chunks({
        connection,
        bucket,
        originals,
        // What the SDK has found already, where no other key is to sign.
        signer: await openSigner(
          location,
          partsKey ? async () => partsKey : connection.client.config.credentials,
          bucket,
          log,
        ),
      }),
      tiers: cold && createS3Tiers(connection, bucket, cold.storageClass),
      variants: createS3Variants({
        bucket,
        prefix: location.prefix,
        ...(rewriteEveryMs !== undefined && { rewriteEveryMs }),
      }),
      stats: connection.stats,
      check: async () => {
        try {
          await bucket.check(CHECK_LIMIT_MS)
          return undefined
        } catch (error) {
          if (judgeS3Error(error) === 'fault') return nameS3Error(error)
          throw new Error(`refused: ${nameS3Error(error)}`, { cause: error })
        }
      },
      [Symbol.dispose]: () => connection[Symbol.dispose](),
    }
  } catch (error) {
    connection[Symbol.dispose]()
    throw error
  }
}
