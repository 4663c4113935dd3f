/**
 * Uploads in progress as objects, one for each piece: `<prefix>sessions/<id>/<offset>-<digest>`. A key names its bytes, so two
 * instances that write one chunk at once cannot harm each other: the row that was committed says which object counts.
 */
import { hash as hashOf } from 'node:crypto'
import type { Readable } from 'node:stream'
import { AppError } from '../core/errors.ts'
import { isUploadId, parseDigest, type UploadId } from '../core/ids.ts'
import type { Piece } from '../core/upload-session.ts'
import type { ChunkStore, Place } from './chunk-store.ts'
import { openS3Body } from './s3-body.ts'
import type { S3Bucket } from './s3-bucket.ts'
import type { S3Connection } from './s3-client.ts'
import { createS3Direct, pieceKey } from './s3-direct.ts'
import { asS3AppError } from './s3-faults.ts'
import type { S3Originals } from './s3-originals.ts'
import type { Signer } from './s3-signer.ts'
import { abortable } from './staging.ts'

export interface S3ChunkOptions {
  readonly connection: S3Connection
  readonly bucket: S3Bucket
  /** Where a whole session is staged: the store hashes it and has a file for the prober, as of any upload. */
  readonly originals: Pick<S3Originals, 'stage' | 'stageObject'>
  /** Where clients may put chunks themselves. */
  readonly signer: Signer | undefined
}

export const createS3Chunks = ({ connection, bucket, originals, signer }: S3ChunkOptions): ChunkStore => {
  const root = `${connection.location.prefix}sessions/`
  const keyOf = (id: UploadId, piece: Omit<Piece, 'bytes'>) => pieceKey(root, id, piece)

  async function* readAll(id: UploadId, pieces: readonly Piece[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) {
      const original = { key: keyOf(id, piece), name: piece.digest }
      const { stream, bytes } = await openS3Body(bucket, connection.stats, original, undefined, signal)
      try {
        if (bytes !== piece.bytes)
          throw new AppError('internal', `the store has ${bytes} of ${piece.bytes} bytes at ${piece.offset} of ${id}`)
        yield* stream as Readable & AsyncIterable<Uint8Array>
      } finally {
        stream.destroy()
      }
    }
  }

  return {
    direct: signer && createS3Direct({ connection, bucket, originals, signer, root }),
    write: async (id, place, source, signal) => {
      const body = await gather(place, source, signal)
      const digest = parseDigest(hashOf('sha256', body))
      const key = keyOf(id, { offset: place.offset, digest })
      // Signed with its hash, so that the store itself refuses other bytes.
      if (body.length > 0) await bucket.put(key, body, { digest }).catch(throwOurs)
      return { digest, bytes: body.length }
    },
    assemble: (id, pieces, signal) => {
      const total = pieces.reduce((sum, { bytes }) => sum + bytes, 0)
      return originals.stage(readAll(id, pieces, signal), total, signal)
    },
    remove: async (id) => {
      try {
        for await (const page of bucket.pages(`${root}${id}/`)) await bucket.removeAll(page.map(({ key }) => key))
      } catch (error) {
        throwOurs(error)
      }
    },
    list: () => listSessions(bucket, root),
  }
}

const throwOurs = (error: unknown): never => {
  throw asS3AppError(error)
}

/** A piece is held whole: what is signed and may have to be sent again. How many at once is the caller's to bound. */
const gather = async ({ maxBytes }: Place, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Buffer> => {
  const chunks = source[Symbol.asyncIterator]()
  const parts: Uint8Array[] = []
  let bytes = 0
  try {
    for (;;) {
      const step = await abortable(chunks.next(), signal)
      if (step.done) return Buffer.concat(parts)
      bytes += step.value.byteLength
      if (bytes > maxBytes) throw new AppError('too-large', `the piece is larger than ${maxBytes} bytes`)
      parts.push(step.value)
    }
  } catch (error) {
    // Not waited for: a source that hangs would hang its own end too.
    chunks.return?.().catch(() => undefined)
    throw error
  }
}

/** A session's keys follow each other, so one that was named is not named again. */
async function* listSessions(bucket: S3Bucket, root: string) {
  let last = ''
  for await (const page of bucket.pages(root)) {
    for (const { key, writtenAt } of page) {
      const [id = ''] = key.slice(root.length).split('/')
      if (id === last || !isUploadId(id)) continue
      last = id
      yield { id, writtenAt }
    }
  }
}
