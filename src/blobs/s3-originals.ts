/** Originals as objects named by their SHA-256: `<prefix>originals/ab/<digest>`. Received and rendered through local files. */
import { rm } from 'node:fs/promises'
import { type Digest, isDigest } from '../core/ids.ts'
import { emptyFolder } from './folders.ts'
import { createLocalCopies, type LocalCopies, type LocalCopyStats } from './local-copies.ts'
import { openS3Body, type S3Source } from './s3-body.ts'
import type { ListedObject, S3Bucket } from './s3-bucket.ts'
import type { S3Connection } from './s3-client.ts'
import { copyObject } from './s3-copy.ts'
import { asS3AppError } from './s3-faults.ts'
import { createS3Upload } from './s3-upload.ts'
import { type StagedFile, stageFile } from './staging.ts'
import type { OriginalLister, OriginalStore, Staged, StoredOriginal } from './store.ts'

export interface S3OriginalsOptions {
  /** The data folder: uploads under way in `staging/`, copies for renderers in `copies/`. One process owns it. */
  readonly folder: string
  readonly connection: S3Connection
  readonly bucket: S3Bucket
  /** Whether the store knows `If-None-Match: *`. */
  readonly conditional: boolean
  /** Bytes of local copies. */
  readonly copyBudgetBytes: number
}

export interface S3Originals extends OriginalStore, OriginalLister {
  /**
   * Stages an object of this bucket whose bytes never change: read and hashed here, published by a copy that the store makes.
   * @throws AppError `too-large` past `maxBytes`, and as `read`.
   */
  stageObject(source: S3Source, maxBytes: number, signal: AbortSignal): Promise<Staged>
  readonly copyStats: Readonly<LocalCopyStats>
}

export const openS3Originals = async (options: S3OriginalsOptions): Promise<S3Originals> => {
  const { bucket, connection, folder } = options
  const { prefix } = connection.location
  const keyOf = (digest: Digest) => originalKey(prefix, digest)
  const staging = await emptyFolder(folder, 'staging')
  // Emptied at start: a process that died may have left torn files, and what is rendered again is copied again.
  const copies = createLocalCopies({
    folder: await emptyFolder(folder, 'copies'),
    budgetBytes: options.copyBudgetBytes,
    download: async (digest, signal) =>
      openS3Body(bucket, connection.stats, { key: keyOf(digest), name: digest }, undefined, signal),
  })
  const upload = createS3Upload(connection, bucket, options.conditional)

  return {
    copyStats: copies.stats,
    stage: async (source, maxBytes, signal) => {
      // Not synced: the file is a stop on the way to the store, and nobody looks for it after a crash.
      const file = await stageFile(staging, source, maxBytes, signal)
      return asStaged(file, () => upload(keyOf(file.digest), file), copies)
    },
    stageObject: async (source, maxBytes, signal) => {
      const { stream } = await openS3Body(bucket, connection.stats, source, undefined, signal)
      try {
        const file = await stageFile(staging, stream, maxBytes, signal)
        const { bytes } = file
        const publish = () => copyObject(connection, { key: source.key, bytes }, { key: keyOf(file.digest) }, signal)
        return asStaged(file, publish, copies)
      } finally {
        stream.destroy()
      }
    },
    size: async (digest) => (await orAppError(bucket.head(keyOf(digest))))?.bytes,
    open: (digest, signal) => copies.open(digest, signal),
    read: async (digest, range, signal) =>
      (await openS3Body(bucket, connection.stats, { key: keyOf(digest), name: digest }, range, signal)).stream,
    remove: async (digest) => {
      await copies.drop(digest)
      await orAppError(bucket.remove(keyOf(digest)))
    },
    list: () => listOriginals(bucket, prefix),
  }
}

export const originalKey = (prefix: string, digest: Digest): string =>
  `${prefix}originals/${digest.slice(0, 2)}/${digest}`

/** The file that was published becomes the first local copy: who uploads a picture is about to look at it. */
const asStaged = (file: StagedFile, publish: () => Promise<void>, copies: LocalCopies): Staged => {
  let published = false
  return {
    ...file,
    file: async () => file.path,
    publish: async () => {
      if (!published) await orAppError(publish())
      published = true
    },
    [Symbol.asyncDispose]: async () => {
      file.release()
      if (published) await copies.adopt(file).catch(() => undefined)
      await rm(file.path, { force: true }).catch(() => undefined)
    },
  }
}

const orAppError = <T>(call: Promise<T>): Promise<T> =>
  call.catch((error: unknown) => {
    throw asS3AppError(error)
  })

/** Every original, and the class in which it is stored. */
export async function* listOriginals(
  bucket: Pick<S3Bucket, 'pages'>,
  prefix: string,
): AsyncGenerator<StoredOriginal & Pick<ListedObject, 'storageClass'>> {
  for await (const page of bucket.pages(`${prefix}originals/`)) {
    for (const { key, bytes, writtenAt, storageClass } of page) {
      const name = key.slice(key.lastIndexOf('/') + 1)
      if (isDigest(name) && key === originalKey(prefix, name))
        yield { digest: name, bytes, storedAt: writtenAt, storageClass }
    }
  }
}
