/** One Ceph gateway for a test file, and stores on it: each with a bucket and a folder of its own. */
import { createHash } from 'node:crypto'
import { HeadObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { openS3Blobs, type S3Blobs } from '../../src/blobs/s3-blobs.ts'
import type { PartsKey, S3Location } from '../../src/blobs/s3-location.ts'
import { type Digest, parseDigest } from '../../src/core/ids.ts'
import type { Ceph } from '../engines/ceph.ts'
import { temporaryFolder } from '../fixtures/write-path.ts'

export const never = new AbortController().signal

export const digestOf = (bytes: Uint8Array): Digest => parseDigest(createHash('sha256').update(bytes).digest('hex'))

/** Bytes that differ at every place and for every seed. */
export const sample = (size: number, seed = 0): Buffer<ArrayBuffer> => {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at++) bytes[at] = (at * 31 + (at >> 8) * 7 + (at >> 16) + seed) & 255
  return bytes
}

export async function* inChunks(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

export interface OpenedS3 extends S3Blobs, AsyncDisposable {
  readonly folder: string
  readonly bucket: string
  /** What was logged as a warning. */
  readonly warnings: readonly string[]
  /** Stores bytes as an upload does. */
  upload(bytes: Uint8Array): Promise<Digest>
}

export interface OpenS3Options {
  /** Where the store is spoken to, such as a proxy; else the gateway itself. */
  readonly endpoint?: string
  /** Else a new one. */
  readonly bucket?: string
  readonly location?: Partial<S3Location>
  /** Else the gateway's own key signs for clients too. */
  readonly partsKey?: PartsKey
  readonly copyBudgetBytes?: number
  readonly openMs?: number
  readonly idleMs?: number
  readonly rewriteEveryMs?: number
}

/** Where a store is, with nothing out of the way. */
export const locationOf = (
  bucket: string,
  endpoint: string | undefined,
  more: Partial<S3Location> = {},
): S3Location => ({
  bucket,
  endpoint,
  publicEndpoint: undefined,
  region: 'us-east-1',
  prefix: '',
  encryption: { kind: 'none' },
  forcePathStyle: true,
  variantDays: 30,
  cold: undefined,
  ...more,
})

export const openS3 = async (ceph: Ceph, options: OpenS3Options = {}): Promise<OpenedS3> => {
  // The SDK's usual way: the driver takes no credentials.
  Object.assign(process.env, ceph.credentials)
  const folder = await temporaryFolder()
  const bucket = options.bucket ?? (await ceph.createBucket())
  const warnings: string[] = []
  const { openMs, idleMs, rewriteEveryMs, partsKey } = options
  const blobs = await openS3Blobs({
    location: locationOf(bucket, options.endpoint ?? ceph.endpoint, options.location),
    partsKey,
    folder: folder.path,
    copyBudgetBytes: options.copyBudgetBytes ?? 1e9,
    log: { info: () => undefined, warn: (_details, message) => void warnings.push(message) },
    ...(openMs !== undefined && { openMs }),
    ...(idleMs !== undefined && { idleMs }),
    ...(rewriteEveryMs !== undefined && { rewriteEveryMs }),
  })
  return {
    ...blobs,
    folder: folder.path,
    bucket,
    warnings,
    upload: async (bytes) => {
      await using staged = await blobs.originals.stage(inChunks(bytes), bytes.length, never)
      await staged.publish()
      return staged.digest
    },
    [Symbol.asyncDispose]: async () => {
      blobs[Symbol.dispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

export const keysIn = async ({ client }: Ceph, bucket: string): Promise<readonly string[]> => {
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }))
  return Contents.map(({ Key = '' }) => Key)
}

export const headOf = ({ client }: Ceph, bucket: string, key: string) =>
  client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }))

export const unfinishedUploads = async ({ client }: Ceph, bucket: string): Promise<number> =>
  (await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads?.length ?? 0

export const originalKey = (digest: Digest): string => `originals/${digest.slice(0, 2)}/${digest}`
