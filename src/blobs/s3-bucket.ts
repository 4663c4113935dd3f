/** What Oriel does with objects, each within its time limit. Errors are the SDK's, to be judged by `s3-faults.ts`; a missing object is a value. */
import type { Readable } from 'node:stream'
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import type { Digest } from '../core/ids.ts'
import { type S3Connection, SHORT_ATTEMPT_LIMIT_MS } from './s3-client.ts'
import { judgeS3Error } from './s3-faults.ts'
import type { S3Encryption } from './s3-location.ts'
import type { ByteRange } from './store.ts'

/** Of attempts without a large body; to be spread into the SDK's options. */
const SHORT = { requestTimeout: SHORT_ATTEMPT_LIMIT_MS }
/** Until an object's bytes begin, or it is known that there is none: two attempts, and their pause. A client waits meanwhile. */
const FIRST_BYTE_LIMIT_MS = 12_000
/** DELETE, a page of a listing: one attempt's limit, and room for a second one. */
const CALL_LIMIT_MS = 20_000
/** A put's body may be 16 MiB: at 0.5 MB/s. */
const PUT_LIMIT_MS = 40_000
/** The most that one DeleteObjects takes (S3 API). */
const MAX_DELETE = 1_000
const DELETE_ATTEMPTS = 5

export interface ObjectStream {
  readonly body: Readable
  /** What the body will have, by its Content-Length. */
  readonly bytes: number
}

export interface WholeObject {
  readonly bytes: Buffer<ArrayBuffer>
  readonly writtenAt: Date
}

export interface ListedObject {
  readonly key: string
  readonly bytes: number
  readonly writtenAt: Date
  /** Undefined where the store does not say, which means `STANDARD`. */
  readonly storageClass: string | undefined
}

export interface PutOptions {
  /** `If-None-Match: *`, for a store that knows it. */
  readonly onlyIfAbsent?: boolean
  /** SHA-256 that the body is known to have: the store refuses other bytes. */
  readonly digest?: Digest
}

export type S3Bucket = ReturnType<typeof createS3Bucket>

/** The header that says how an object is to be encrypted. To be sent with puts, copies and new multipart uploads. */
export const encryptionOf = (encryption: S3Encryption) =>
  encryption.kind === 'none'
    ? {}
    : {
        ServerSideEncryption: encryption.kind,
        ...(encryption.kind === 'aws:kms' && encryption.keyId !== undefined && { SSEKMSKeyId: encryption.keyId }),
      }

/** An object as the source of a copy. */
export const copySource = (bucket: string, key: string): string =>
  `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`

export const createS3Bucket = (connection: S3Connection) => ({
  ...createReads(connection),
  ...createWrites(connection),
})

const createReads = (connection: S3Connection) => {
  const { client, location } = connection
  const Bucket = location.bucket

  return {
    /** Size in bytes, how it is encrypted and in which class it is stored, or undefined. */
    head: (key: string) =>
      orMissing(
        connection.call(
          async (abortSignal) => {
            const found = await client.send(new HeadObjectCommand({ Bucket, Key: key }), { abortSignal, ...SHORT })
            return {
              bytes: found.ContentLength ?? 0,
              encryption: found.ServerSideEncryption,
              storageClass: found.StorageClass as string | undefined,
            }
          },
          { limitMs: FIRST_BYTE_LIMIT_MS },
        ),
      ),

    /** The object in memory, or undefined. */
    get: (key: string, limitMs: number): Promise<WholeObject | undefined> =>
      orMissing(
        connection.call(
          async (abortSignal) => {
            const found = await client.send(new GetObjectCommand({ Bucket, Key: key }), { abortSignal, ...SHORT })
            const chunks: Buffer[] = []
            for await (const chunk of found.Body as Readable) chunks.push(chunk)
            return { bytes: Buffer.concat(chunks), writtenAt: found.LastModified ?? new Date(0) }
          },
          { limitMs },
        ),
      ),

    /** A body to be read, or undefined. It ends with the signal; one cut short is an error of the stream. */
    stream: (key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<ObjectStream | undefined> => {
      const Range = range && `bytes=${range.start}-${range.end}`
      const command = new GetObjectCommand({ Bucket, Key: key, Range })
      return orMissing(
        connection.longCall(
          async (abortSignal) => {
            const found = await client.send(command, { abortSignal, ...SHORT })
            return { body: found.Body as Readable, bytes: found.ContentLength ?? 0 }
          },
          { limitMs: FIRST_BYTE_LIMIT_MS, signal },
        ),
      )
    },

    /** What is under a prefix, a page of a thousand at a time. */
    pages: async function* (prefix: string): AsyncGenerator<readonly ListedObject[]> {
      for (let token: string | undefined; ; ) {
        const command = new ListObjectsV2Command({ Bucket, Prefix: prefix, ContinuationToken: token })
        const page = await connection.call((abortSignal) => client.send(command, { abortSignal }), {
          limitMs: CALL_LIMIT_MS,
        })
        yield (page.Contents ?? []).map(({ Key = '', Size = 0, LastModified = new Date(), StorageClass }) => ({
          key: Key,
          bytes: Size,
          writtenAt: LastModified,
          storageClass: StorageClass as string | undefined,
        }))
        token = page.NextContinuationToken
        if (!page.IsTruncated || token === undefined) return
      }
    },

    /** Does the bucket exist, and may we use it? */
    check: async (limitMs: number): Promise<void> => {
      const command = new HeadBucketCommand({ Bucket })
      await connection.call((abortSignal) => client.send(command, { abortSignal }), { limitMs })
    },
  }
}

const createWrites = (connection: S3Connection) => {
  const { client, location } = connection
  const Bucket = location.bucket
  const encryption = encryptionOf(location.encryption)

  return {
    /** @returns false when there was such an object and it was to be put only if not. */
    put: async (key: string, Body: Uint8Array, options: PutOptions = {}): Promise<boolean> => {
      const command = new PutObjectCommand({
        Bucket,
        Key: key,
        Body,
        ContentLength: Body.byteLength,
        ...encryption,
        ...(options.onlyIfAbsent && { IfNoneMatch: '*' }),
      })
      if (options.digest !== undefined) signFor(command, options.digest)
      try {
        await connection.call((abortSignal) => client.send(command, { abortSignal }), { limitMs: PUT_LIMIT_MS })
        return true
      } catch (error) {
        if (options.onlyIfAbsent && judgeS3Error(error) === 'exists') return false
        throw error
      }
    },

    remove: async (key: string): Promise<void> => {
      const command = new DeleteObjectCommand({ Bucket, Key: key })
      await orMissing(
        connection.call((abortSignal) => client.send(command, { abortSignal }), { limitMs: CALL_LIMIT_MS }),
      )
    },

    /**
     * At most a thousand keys. One that is being written at that moment may be kept by the store (Ceph 16.2), so it is tried again.
     * @throws Error when the store keeps one all the same.
     */
    removeAll: async (keys: readonly string[]): Promise<void> => {
      let left = keys.slice(0, MAX_DELETE)
      for (let attempt = 1; left.length > 0; attempt++) {
        const Delete = { Objects: left.map((Key) => ({ Key })), Quiet: true }
        const command = new DeleteObjectsCommand({ Bucket, Delete })
        const { Errors = [] } = await connection.call((abortSignal) => client.send(command, { abortSignal }), {
          limitMs: CALL_LIMIT_MS,
        })
        left = Errors.flatMap(({ Key }) => Key ?? [])
        if (left.length > 0 && attempt >= DELETE_ATTEMPTS)
          throw new Error(`the object store kept ${left[0]}: ${Errors[0]?.Code}`)
      }
    },
  }
}

const orMissing = async <T>(call: Promise<T>): Promise<T | undefined> => {
  try {
    return await call
  } catch (error) {
    if (judgeS3Error(error) === 'missing') return undefined
    throw error
  }
}

/**
 * SigV4 signs the body's SHA-256, and the SDK takes it from this header where it is set. So the store itself compares what
 * arrived with the digest that names it: Ceph 16.2 refuses other bytes here, where it ignores `x-amz-checksum-sha256`.
 */
const signFor = (command: PutObjectCommand, digest: Digest): void => {
  command.middlewareStack.add(
    (next) => (args) => {
      const { request } = args as { request: { headers: Record<string, string> } }
      request.headers['x-amz-content-sha256'] = digest
      return next(args)
    },
    { step: 'build', name: 'signForDigest' },
  )
}
