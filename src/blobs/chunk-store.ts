/** Port of the bytes of uploads in progress: written in pieces, in any order, by any instance. Drivers: `disk-chunks.ts`, `s3-chunks.ts`. */
import type { Digest, UploadId } from '../core/ids.ts'
import type { Piece, SentPart } from '../core/upload-session.ts'
import type { Staged } from './store.ts'

/** Where in the file a piece goes. */
export interface Place {
  readonly offset: number
  /** The most that the piece may have. */
  readonly maxBytes: number
  /** Of the whole file. */
  readonly totalBytes: number
}

export interface WrittenPiece {
  readonly digest: Digest
  readonly bytes: number
}

/** A request by which a client puts one chunk into the store itself. */
export interface SignedPut {
  readonly url: string
  /** To be sent as they are: they are signed. */
  readonly headers: Readonly<Record<string, string>>
}

/** Chunks that clients put into the store themselves, with a request signed for each. What they put is nobody's word: it is read again. */
export interface DirectChunks {
  /** The least that a chunk may have, but the last of a file. */
  readonly minBytes: number
  /** How long what is signed now is good for, of `seconds`: our own credentials may end sooner. */
  lasts(seconds: number): Promise<number>
  /**
   * Signs the put of a chunk at its place; the store takes no other length. No call of the store. `digest`: what the chunk is declared to
   * be, for a store that compares (AWS does, Ceph 16.2 does not). `seconds`: how long the request is good for.
   */
  sign(id: UploadId, part: SentPart, digest: Digest | undefined, seconds: number): Promise<SignedPut>
  /** What was put, in the order of the file. @throws AppError `busy`. */
  sent(id: UploadId): Promise<readonly SentPart[]>
  /**
   * As `ChunkStore.assemble`, of chunks that came either way. They are first copied where no signed request reaches, by the store itself; the
   * copy is hashed, and `publish` is a copy again. @throws AppError `conflict` when a chunk has gone or is of another length.
   */
  assemble(id: UploadId, parts: readonly (Piece | SentPart)[], signal: AbortSignal): Promise<Staged>
}

export interface ChunkStore {
  /** Where the store can take chunks from clients itself. */
  readonly direct?: DirectChunks | undefined
  /**
   * Writes what the source has, at its place; durable when it resolves. Two writers of one place at a time are not for this port to keep
   * apart. @throws AppError `too-large` past `maxBytes`, `busy` (disk full, store away); what the source throws; the signal's reason.
   * What was written by then is of no account.
   */
  write(id: UploadId, place: Place, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<WrittenPiece>
  /**
   * The whole file, hashed in constant memory; not yet part of the store of originals. `pieces` cover it without gap or overlap, in
   * order. Can be asked again until `remove`, also after its `publish`. @throws AppError `internal` when bytes are missing.
   */
  assemble(id: UploadId, pieces: readonly Piece[], signal: AbortSignal): Promise<Staged>
  /** All bytes of a session. Removing what is absent is no error. */
  remove(id: UploadId): Promise<void>
  /** Every session that has bytes here, and when some were last written. Constant memory. */
  list(): AsyncIterable<{ readonly id: UploadId; readonly writtenAt: Date }>
}
