/** Copies made by the store itself: whole, in ranges where an object is too large for one call, or several objects joined into one. */
import { hash as hashOf } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  type StorageClass,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { copySource, encryptionOf } from './s3-bucket.ts'
import type { S3Connection } from './s3-client.ts'
import { judgeS3Error, storeBusy } from './s3-faults.ts'
import type { ByteRange } from './store.ts'

/** S3 copies 5 GB in one call; in pieces of this a call takes 13 s at 20 MB/s, and 50 GB are 200 of 10,000. */
export const MAX_COPY = 256 * 1024 * 1024
/** One copy, or the end of an object in parts: two attempts of `connection.copier`, and a pause. */
const COPY_LIMIT_MS = 250_000
const CALL_LIMIT_MS = 20_000
/** Parts of one object under way: a call waits mostly, and the store's other users share its disks. */
const PARTS_AT_ONCE = 4

/** Where a copy goes, and the class of storage it is to have: the bucket's own where none is named. */
export interface CopyTarget {
  readonly key: string
  readonly storageClass?: string
  /** Without what its writer said of it (`Content-Encoding`, `Content-Type`, …). An object joined of several never has that. */
  readonly bare?: boolean
}

/** Bytes of one object; all of them without a range. */
export interface CopyPart {
  readonly key: string
  readonly range?: ByteRange
}

/**
 * Copies an object of known size; onto itself too, in another class. @throws what the SDK throws; the signal's reason.
 * @param maxCopy bytes of one call; larger ones are copied in ranges.
 */
export const copyObject = (
  connection: S3Connection,
  from: { readonly key: string; readonly bytes: number },
  to: CopyTarget,
  signal: AbortSignal,
  maxCopy = MAX_COPY,
): Promise<void> => {
  if (from.bytes <= maxCopy) return copyWhole(connection, from.key, to, signal)
  const count = Math.ceil(from.bytes / maxCopy)
  const ranges = Array.from({ length: count }, (_, index) => ({
    key: from.key,
    range: { start: index * maxCopy, end: Math.min((index + 1) * maxCopy, from.bytes) - 1 },
  }))
  return joinObjects(connection, ranges, to, signal)
}

/** What every copy says: how it is to be stored. The SDK's type has AWS' names only. */
const storedAs = ({ location }: S3Connection, { key, storageClass }: CopyTarget) => ({
  Bucket: location.bucket,
  Key: key,
  ...(storageClass !== undefined && { StorageClass: storageClass as StorageClass }),
  ...encryptionOf(location.encryption),
})

const copyWhole = async (
  connection: S3Connection,
  from: string,
  to: CopyTarget,
  signal: AbortSignal,
): Promise<void> => {
  const command = new CopyObjectCommand({
    ...storedAs(connection, to),
    CopySource: copySource(connection.location.bucket, from),
    MetadataDirective: to.bare ? 'REPLACE' : 'COPY',
  })
  const { copier } = connection
  await connection.call((abortSignal) => copier.send(command, { abortSignal }), { limitMs: COPY_LIMIT_MS, signal })
}

/**
 * One object of several parts in their order; every one but the last has 5 MiB or more (S3 API). Nothing is to be seen of it before the
 * last call. Parts of a process that died, or whose last call had no answer, are removed by the bucket's lifecycle rule. @throws as `copyObject`;
 * AppError `busy` when the store has ended it.
 */
export const joinObjects = async (
  connection: S3Connection,
  parts: readonly CopyPart[],
  to: CopyTarget,
  signal: AbortSignal,
): Promise<void> => {
  const { client, copier } = connection
  const Bucket = connection.location.bucket
  const limits = { limitMs: COPY_LIMIT_MS, signal }
  const create = new CreateMultipartUploadCommand(storedAs(connection, to))
  const { UploadId } = await connection.call((abortSignal) => client.send(create, { abortSignal }), {
    limitMs: CALL_LIMIT_MS,
    signal,
  })
  const upload = { Bucket, Key: to.key, UploadId }

  const copyPart = async ({ key, range }: CopyPart, index: number): Promise<CompletedPart> => {
    const command = new UploadPartCopyCommand({
      ...upload,
      PartNumber: index + 1,
      CopySource: copySource(Bucket, key),
      ...(range && { CopySourceRange: `bytes=${range.start}-${range.end}` }),
    })
    const { CopyPartResult } = await connection.call((abortSignal) => copier.send(command, { abortSignal }), limits)
    return { PartNumber: index + 1, ETag: CopyPartResult?.ETag }
  }

  const Parts: CompletedPart[] = []
  let asked = false
  try {
    while (Parts.length < parts.length) {
      const from = Parts.length
      // All of them ended before the upload is given up: a part that came after would stay.
      const copied = await Promise.allSettled(
        parts.slice(from, from + PARTS_AT_ONCE).map((part, index) => copyPart(part, from + index)),
      )
      for (const part of copied) {
        if (part.status === 'rejected') throw part.reason
        Parts.push(part.value)
      }
    }
    const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })
    asked = true
    await connection.call((abortSignal) => copier.send(complete, { abortSignal }), limits)
  } catch (error) {
    if (asked && hasEnded(error) && (await isJoined(connection, to.key, Parts, signal))) return
    // Without an answer it may be ending at this moment, and an abort beside that may leave an object without its bytes (Ceph pull 60771).
    if (!asked || judgeS3Error(error) !== 'fault') {
      const abort = new AbortMultipartUploadCommand(upload)
      await connection
        .call((abortSignal) => client.send(abort, { abortSignal }), { limitMs: CALL_LIMIT_MS })
        .catch(() => undefined)
    }
    throw hasEnded(error) ? storeBusy(error, 'the object store has ended a copy in parts') : error
  }
}

/** By an earlier attempt of ours whose answer was lost, or by somebody who tidies up. */
const hasEnded = (error: unknown): boolean => error instanceof Error && error.name === 'NoSuchUpload'

/** AWS and Ceph answer the end of an upload again, MinIO and others that there is none: then the object says whether it is of these parts. */
const isJoined = async (
  { client, location, call }: S3Connection,
  Key: string,
  parts: readonly CompletedPart[],
  signal: AbortSignal,
): Promise<boolean> => {
  const command = new HeadObjectCommand({ Bucket: location.bucket, Key })
  const limits = { limitMs: CALL_LIMIT_MS, signal }
  const found = await call((abortSignal) => client.send(command, { abortSignal }), limits).catch(() => undefined)
  return found?.ETag?.replaceAll('"', '') === joinedTag(parts)
}

/** What S3 calls an object of parts: the MD5 of their MD5s, and how many they are. */
const joinedTag = (parts: readonly CompletedPart[]): string => {
  const tags = parts.map(({ ETag = '' }) => Buffer.from(ETag.replaceAll('"', ''), 'hex'))
  return `${hashOf('md5', Buffer.concat(tags))}-${parts.length}`
}
