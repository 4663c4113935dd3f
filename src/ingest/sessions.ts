/** Resumable uploads as use cases: create, find, say what is in, give up. Chunks come in by `put-chunk.ts`, and become assets by `completion.ts`. */
import type { ChunkStore } from '../blobs/chunk-store.ts'
import type { Locker } from '../coordination/coordination.ts'
import { AppError } from '../core/errors.ts'
import { type Digest, newUploadId, type OwnerId, type UploadId } from '../core/ids.ts'
import type { Piece, SentPart, UploadProtocol, UploadSession } from '../core/upload-session.ts'
import type { DetailsText } from '../http/asset-details.ts'
import type { Metadata } from '../metadata/database.ts'
import { dropPieces, listPieces } from '../metadata/upload-pieces.ts'
import { countOpenSessions, findSession, insertSession, setSessionOutcome } from '../metadata/upload-sessions.ts'
import type { Parts } from './parts.ts'
import { advance, allChunks, planChunks, stateAt } from './session.ts'
import type { Turns } from './turns.ts'

/** Who aborts waits so long for who completes. */
const ABORT_WAIT_MS = 5_000
/** Sessions end when others do, or are completed: within minutes, not seconds. */
const TOO_MANY_RETRY_SECONDS = 60

export interface SessionPorts {
  readonly metadata: Metadata
  readonly chunks: ChunkStore
  readonly locker: Locker
  /** Who writes chunks now: ended before their bytes are removed. */
  readonly turns: Turns
  readonly parts: Pick<Parts, 'withSent'>
}

export interface SessionLimits {
  readonly maxBytes: number
  /** Open sessions of one owner. Counted before one is added, so a burst may pass it by its width. */
  readonly maxOpen: number
  readonly lifeMs: number
}

export interface NewSession {
  readonly ownerId: OwnerId
  readonly protocol: UploadProtocol
  readonly bytes: number
  /** Undefined: as we think best. */
  readonly chunkBytes: number | undefined
  readonly mediaType: string
  readonly declared: Digest | null
  readonly details: DetailsText
  readonly tusMetadata: string | null
}

export interface SessionStats {
  created: number
  refused: number
  aborted: number
}

export type Sessions = ReturnType<typeof createSessions>

export const createSessions = (ports: SessionPorts, limits: SessionLimits) => {
  const { metadata, chunks } = ports
  const stats: SessionStats = { created: 0, refused: 0, aborted: 0 }

  /** @throws AppError `not-found` for none and for another's: an id is not confirmed to a stranger. */
  const load = async (id: UploadId, ownerId: OwnerId): Promise<UploadSession> => {
    const session = await findSession(metadata.read, id)
    if (!session || session.ownerId !== ownerId) throw new AppError('not-found', `no upload session ${id}`)
    return session
  }

  return {
    stats,
    limits,
    load,

    /**
     * @param pay is awaited between judging and making, so that what is refused costs nothing.
     * @throws AppError `too-large`, and `rate-limited` when the owner has as many open as allowed; what `pay` throws.
     */
    create: async (wanted: NewSession, pay: () => Promise<void>): Promise<UploadSession> => {
      const { bytes, ownerId } = wanted
      if (bytes > limits.maxBytes)
        throw new AppError('too-large', `${bytes} bytes are over the limit of ${limits.maxBytes}`)
      const now = new Date()
      if ((await countOpenSessions(metadata.read, ownerId, now)) >= limits.maxOpen) {
        stats.refused += 1
        throw new AppError('rate-limited', `${limits.maxOpen} upload sessions are open: complete or abort some`, {
          retryAfterSeconds: TOO_MANY_RETRY_SECONDS,
        })
      }
      await pay()
      const session: UploadSession = {
        ...wanted,
        id: newUploadId(),
        state: 'receiving',
        chunkBytes: planChunks(bytes, wanted.chunkBytes).chunkBytes,
        details: JSON.stringify(wanted.details),
        createdAt: now,
        expiresAt: new Date(now.getTime() + limits.lifeMs),
        assetId: null,
        deduplicated: false,
        failure: null,
      }
      await metadata.transaction((transaction) => insertSession(transaction, session))
      stats.created += 1
      return session
    },

    /** The acknowledged bytes, in order. */
    pieces: (session: UploadSession): Promise<readonly Piece[]> => listPieces(metadata.read, session.id),

    /** The chunks that are in, acknowledged or put into the store by the client, in order. @throws AppError `busy` when the store is away. */
    received: async (session: UploadSession): Promise<readonly SentPart[]> => {
      const state = stateAt(session, new Date())
      // Whoever began to complete it has found it whole, and of what is done no piece is kept; who waits for that asks every two seconds, and a listing of 50 GB is seven calls.
      if (state === 'completing' || state === 'done') return allChunks(session)
      const pieces = await listPieces(metadata.read, session.id)
      return state === 'receiving' ? ports.parts.withSent(session, pieces) : pieces
    },

    stateOf: (session: UploadSession) => stateAt(session, new Date()),

    /** Ends the session and removes its bytes; twice is no fault. @throws AppError `conflict` when it is done or being completed. */
    abort: async (session: UploadSession, signal: AbortSignal): Promise<void> => {
      const { id } = session
      const patience = AbortSignal.any([signal, AbortSignal.timeout(ABORT_WAIT_MS)])
      await using _lease = await ports.locker.acquire(`upload:${id}`, patience).catch((error: unknown) => {
        if (signal.aborted || !patience.aborted) throw error
        throw new AppError('conflict', `the upload ${id} is being completed`, { retryAfterSeconds: 5 })
      })
      await metadata.transaction(async (transaction) => {
        const current = await findSession(transaction, id)
        if (!current) return
        await setSessionOutcome(transaction, id, { state: advance(current, 'abort', new Date()) })
        await dropPieces(transaction, id)
      })
      stats.aborted += 1
      await ports.turns.clear(id, patience)
      await chunks.remove(id)
    },
  }
}
