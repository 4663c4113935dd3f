/** One numbered chunk of a session: received, written, acknowledged; or compared with what was acknowledged before. */
import { createHash } from 'node:crypto'
import type { ChunkStore } from '../blobs/chunk-store.ts'
import { AppError } from '../core/errors.ts'
import { type Digest, parseDigest } from '../core/ids.ts'
import type { UploadSession } from '../core/upload-session.ts'
import type { Metadata } from '../metadata/database.ts'
import { findPiece } from '../metadata/upload-pieces.ts'
import type { Admission } from './admission.ts'
import { otherBytes, type PieceRows } from './piece-rows.ts'
import { advance, spanOf } from './session.ts'
import type { Turns } from './turns.ts'

export interface PutChunkPorts {
  readonly metadata: Metadata
  readonly chunks: ChunkStore
  readonly turns: Turns
  readonly rows: PieceRows
  /** Chunks and their bytes in flight. */
  readonly admission: Admission
}

export interface ChunkBody {
  /** By its Content-Length, where there is one. */
  readonly declaredBytes: number | undefined
  readonly source: AsyncIterable<Uint8Array>
  /** Once the source has ended. @throws AppError `bad-request` when the client said that the bytes are others. */
  readonly verify: () => void
}

export interface ChunkStats {
  chunks: number
  repeated: number
  bytes: number
}

/**
 * One chunk; durable when it resolves. Sent again with the same bytes it is no fault. @throws AppError `bad-request` (no such chunk,
 * wrong length, digest mismatch), `conflict` (other bytes than before, superseded, completing), `gone`, `busy`.
 */
export type PutChunk = (session: UploadSession, index: number, body: ChunkBody, signal: AbortSignal) => Promise<void>

export const createPutChunk = (ports: PutChunkPorts): { readonly putChunk: PutChunk; readonly stats: ChunkStats } => {
  const { metadata, chunks, turns, rows, admission } = ports
  const stats: ChunkStats = { chunks: 0, repeated: 0, bytes: 0 }
  const putChunk: PutChunk = async (session, index, body, signal) => {
    if (session.protocol !== 'chunks')
      throw new AppError('conflict', `the upload ${session.id} is sent by tus, to /files/${session.id}`)
    const { offset, bytes } = spanOf(session, index)
    if (body.declaredBytes !== undefined && body.declaredBytes !== bytes)
      throw wrongLength(index, bytes, body.declaredBytes)
    using _place = admission.enter(session.ownerId, bytes)
    using turn = await turns.enter(session.id, String(index), signal)
    const stop = AbortSignal.any([signal, turn.signal])
    const source = exactly(body.source, bytes, index)
    const known = await findPiece(metadata.read, session.id, offset)
    if (known) {
      if ((await hashOf(source, stop)) !== known.digest) throw otherBytes(offset)
      body.verify()
      stats.repeated += 1
      return
    }
    advance(session, 'receive', new Date())
    const place = { offset, maxBytes: bytes, totalBytes: session.bytes }
    const { digest } = await chunks.write(session.id, place, source, stop)
    body.verify()
    await rows.add(session, { offset, bytes, digest })
    stats.chunks += 1
    stats.bytes += bytes
  }
  return { putChunk, stats }
}

const wrongLength = (index: number, bytes: number, got: number | string): AppError =>
  new AppError('bad-request', `chunk ${index} has ${bytes} bytes, not ${got}`)

/** @throws (while iterated) AppError `bad-request` when the source has more or less. */
async function* exactly(source: AsyncIterable<Uint8Array>, bytes: number, index: number): AsyncGenerator<Uint8Array> {
  let got = 0
  for await (const chunk of source) {
    got += chunk.byteLength
    if (got > bytes) throw wrongLength(index, bytes, 'more')
    yield chunk
  }
  if (got < bytes) throw wrongLength(index, bytes, got)
}

const hashOf = async (source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Digest> => {
  const hash = createHash('sha256')
  for await (const chunk of source) {
    signal.throwIfAborted()
    hash.update(chunk)
  }
  return parseDigest(hash.digest('hex'))
}
