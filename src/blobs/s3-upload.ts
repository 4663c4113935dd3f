/** A staged file sent under its digest: small ones in one put, large ones in parts. Durable when it resolves: that is S3's promise. */
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Upload } from '@aws-sdk/lib-storage'
import { BulkheadRejectedError, bulkhead } from 'cockatiel'
import { encryptionOf, type S3Bucket } from './s3-bucket.ts'
import { MAX_LARGE_UPLOADS, PARTS_AT_ONCE, type S3Connection } from './s3-client.ts'
import { storeBusy } from './s3-faults.ts'
import type { StagedFile } from './staging.ts'

const MIB = 1024 * 1024
/** Up to here a file is put whole from memory, which lets the SDK try again. */
const MAX_SINGLE_PUT = 16 * MIB
/** Files above this take one of a few places: 8 × 16 MiB held, or 8 × 2 parts of 8 MiB; the 64 small ones hold 64 MiB at most. */
const MAX_SMALL = MIB
/** At least 5 MiB (S3 API), and not more than 10,000 parts: larger for files above 80 GB. */
const PART_BYTES = 8 * MIB
const MAX_PARTS = 10_000
/** Uploads that wait for a place; each is an admitted upload, of which there are `ORIEL_MAX_UPLOADS_AT_ONCE`. */
const MAX_WAITING = 10_000
/** A large file's limit: a minute, and as long as it takes at 1 MB/s. */
const LARGE_LIMIT_MS = 60_000
const LARGE_BYTES_PER_MS = 1_000

export type UploadFile = (key: string, file: StagedFile) => Promise<void>

/**
 * @param conditional whether the store knows `If-None-Match: *`. Then a put that finds the object there is not a second write:
 * no further version in a bucket that keeps versions. Where the store does not know it, and for parts (Ceph 16.2 ignores the
 * condition on their completion), the object is overwritten, by the same bytes since the key is their hash: harmless.
 */
export const createS3Upload = (connection: S3Connection, bucket: S3Bucket, conditional: boolean): UploadFile => {
  const places = bulkhead(MAX_LARGE_UPLOADS, MAX_WAITING)

  const putWhole = async (key: string, file: StagedFile): Promise<void> => {
    const bytes = await readFile(file.path)
    const stored = await bucket.put(key, bytes, { onlyIfAbsent: conditional, digest: file.digest })
    if (stored) return
    // What is there should be these bytes. Of another size it is rotten, and this upload is the cure.
    if ((await bucket.head(key))?.bytes !== file.bytes) await bucket.put(key, bytes, { digest: file.digest })
  }

  const send = (key: string, file: StagedFile): Promise<void> =>
    file.bytes <= MAX_SINGLE_PUT ? putWhole(key, file) : putParts(connection, key, file)

  return async (key, file) => {
    if (file.bytes <= MAX_SMALL) return putWhole(key, file)
    try {
      await places.execute(() => send(key, file))
    } catch (error) {
      throw error instanceof BulkheadRejectedError
        ? storeBusy(error, 'too many large uploads are on their way to the store')
        : error
    }
  }
}

/** Parts of a failed upload are removed at once, those of a process that died by the bucket's lifecycle rule. */
const putParts = async (connection: S3Connection, key: string, file: StagedFile): Promise<void> => {
  const { client, location } = connection
  await connection.longCall(
    async (signal) => {
      const upload = new Upload({
        client,
        params: {
          Bucket: location.bucket,
          Key: key,
          Body: createReadStream(file.path),
          ContentLength: file.bytes,
          ...encryptionOf(location.encryption),
        },
        partSize: Math.max(PART_BYTES, Math.ceil(file.bytes / MAX_PARTS)),
        queueSize: PARTS_AT_ONCE,
        leavePartsOnError: false,
      })
      const stop = () => void upload.abort()
      signal.addEventListener('abort', stop, { once: true })
      try {
        await upload.done()
      } finally {
        signal.removeEventListener('abort', stop)
      }
    },
    { limitMs: LARGE_LIMIT_MS + file.bytes / LARGE_BYTES_PER_MS },
  )
}
