/** Port of the bytes of uploads in progress: written in pieces, in any order, by any instance. Drivers: `disk-chunks.ts`, `s3-chunks.ts`. */
import type { Digest, UploadId } from '../core/ids.ts'
import type { Piece } from '../core/upload-session.ts'
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

export interface ChunkStore {
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
