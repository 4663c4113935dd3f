/**
 * Chunks that clients put into the bucket themselves, by requests that are signed for one key, one length and some minutes. Each is an
 * object beside those that came through an origin (`s3-chunks.ts`), so a file may come by both ways, and what nobody completes goes as they do.
 *
 * Who holds a signed request may put again until it expires, also after the bytes were hashed. So the chunks are first copied to a key
 * for which nothing is signed, and only that copy is hashed and moved. Conditions on the source of a copy would save it, but Ceph 16.2 ignores them.
 */
import { randomUUID } from 'node:crypto'
import { AppError } from '../core/errors.ts'
import type { UploadId } from '../core/ids.ts'
import type { Piece, SentPart } from '../core/upload-session.ts'
import type { DirectChunks } from './chunk-store.ts'
import type { S3Bucket } from './s3-bucket.ts'
import type { S3Connection } from './s3-client.ts'
import { copyObject, joinObjects } from './s3-copy.ts'
import { asS3AppError, judgeS3Error } from './s3-faults.ts'
import type { S3Originals } from './s3-originals.ts'
import type { Signer } from './s3-signer.ts'
import type { Staged } from './store.ts'

/** Of a part of an object, but the last (S3 API). */
const MIN_PART_BYTES = 5 * 1024 * 1024
/** Digits of an offset in a key: 2^53 has 16. They make the store's order the file's. */
const OFFSET_DIGITS = 16

export interface S3DirectOptions {
  readonly connection: S3Connection
  readonly bucket: S3Bucket
  readonly originals: Pick<S3Originals, 'stageObject'>
  readonly signer: Signer
  /** Prefix of all sessions. */
  readonly root: string
}

/** Of a chunk that came through an origin: it names its bytes. */
export const pieceKey = (root: string, id: UploadId, { offset, digest }: Omit<Piece, 'bytes'>): string =>
  `${root}${id}/${offsetText(offset)}-${digest}`

const sentKey = (root: string, id: UploadId, offset: number): string => `${root}${id}/${offsetText(offset)}-sent`

const offsetText = (offset: number): string => String(offset).padStart(OFFSET_DIGITS, '0')

export const createS3Direct = ({ connection, bucket, originals, signer, root }: S3DirectOptions): DirectChunks => {
  const freeze = async (id: UploadId, parts: readonly (Piece | SentPart)[], signal: AbortSignal): Promise<string> => {
    const sources = parts.map((part) => ({
      key: 'digest' in part ? pieceKey(root, id, part) : sentKey(root, id, part.offset),
      bytes: part.bytes,
    }))
    const [first, ...others] = sources
    if (!first) throw new AppError('internal', `the upload ${id} has no chunks`)
    const key = `${root}${id}/whole-${randomUUID()}`
    if (others.length === 0) await copyObject(connection, first, { key, bare: true }, signal)
    else await joinObjects(connection, sources, { key }, signal)
    return key
  }

  /** As large as the file, and of no more use; each attempt makes one. What stays goes with the session. */
  const drop = (key: string): Promise<void> => bucket.remove(key).catch(() => undefined)

  return {
    minBytes: MIN_PART_BYTES,
    lasts: (seconds) =>
      signer.lasts(seconds).catch((error: unknown) => {
        throw asS3AppError(error)
      }),
    sign: (id, { offset, bytes }, digest, seconds) =>
      signer.sign(sentKey(root, id, offset), bytes, digest, seconds).catch((error: unknown) => {
        throw asS3AppError(error)
      }),
    sent: async (id) => {
      const prefix = `${root}${id}/`
      const parts: SentPart[] = []
      try {
        for await (const page of bucket.pages(prefix))
          for (const { key, bytes } of page) {
            const [, offset] = /^(\d{16})-sent$/.exec(key.slice(prefix.length)) ?? []
            if (offset !== undefined) parts.push({ offset: Number(offset), bytes })
          }
      } catch (error) {
        throw asS3AppError(error)
      }
      return parts
    },
    assemble: async (id, parts, signal) => {
      const total = parts.reduce((sum, { bytes }) => sum + bytes, 0)
      const key = await freeze(id, parts, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        throw judgeS3Error(error) === 'missing' ? changed(id) : asS3AppError(error)
      })
      try {
        const staged = await originals.stageObject({ key, name: `the upload ${id}` }, total, signal)
        if (staged.bytes === total) return withoutCopy(staged, () => drop(key))
        await staged[Symbol.asyncDispose]()
        throw changed(id)
      } catch (error) {
        await drop(key)
        throw error instanceof AppError && error.kind === 'too-large' ? changed(id) : error
      }
    },
  }
}

/** The copy goes with what was staged of it. */
const withoutCopy = (staged: Staged, drop: () => Promise<void>): Staged => ({
  ...staged,
  [Symbol.asyncDispose]: async () => {
    await staged[Symbol.asyncDispose]()
    await drop()
  },
})

const changed = (id: UploadId): AppError =>
  new AppError('conflict', `chunks of the upload ${id} were changed while it was completed; look what is in`)
