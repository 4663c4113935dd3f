/** A resumable upload as it is kept: what its rows hold, whatever protocol fills it. How it may change is `ingest/session.ts`. */
import type { ErrorKind } from './errors.ts'
import type { AssetId, Digest, OwnerId, UploadId } from './ids.ts'

/**
 * `receiving` from its creation until somebody asks for completion; `completing` while an instance makes the asset, or after one died
 * doing it. The other four are ends.
 */
export type SessionState = 'receiving' | 'completing' | 'done' | 'failed' | 'expired' | 'aborted'

/** `chunks`: numbered, any order, parallel. `tus`: one after the other, of any length. */
export type UploadProtocol = 'chunks' | 'tus'

/** Why the bytes can never become an asset; said again to whoever asks again. */
export interface SessionFailure {
  readonly kind: ErrorKind
  readonly message: string
}

export interface UploadSession {
  readonly id: UploadId
  readonly ownerId: OwnerId
  readonly protocol: UploadProtocol
  readonly state: SessionState
  /** Of the whole file, as declared. */
  readonly bytes: number
  /** Of a chunk, but the last; with tus the most that is written and recorded at once. */
  readonly chunkBytes: number
  /** As declared; the type that counts is found in the bytes. */
  readonly mediaType: string
  /** SHA-256 that the whole file is declared to have. */
  readonly declared: Digest | null
  /** What its owner says about the asset: JSON of `DetailsText`. */
  readonly details: string
  /** `Upload-Metadata` as a tus client sent it, to be sent back to it (tus 1.0, creation). */
  readonly tusMetadata: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
  /** Set when `done`. */
  readonly assetId: AssetId | null
  readonly deduplicated: boolean
  /** Set when `failed`. */
  readonly failure: SessionFailure | null
}

/** Bytes of a session that were acknowledged. */
export interface Piece {
  readonly offset: number
  readonly bytes: number
  readonly digest: Digest
}

/** Bytes of a session that its client put into the store itself: nobody here has read them yet. */
export type SentPart = Omit<Piece, 'digest'>
