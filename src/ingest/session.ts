/**
 * An upload session as a state machine. Pure: what a session is, whether an event is legal in its state, which chunk is which
 * bytes, and what is missing.
 *
 *     receiving ──complete──► completing ──finish──► done
 *         ▲                    │   │
 *         └─────release────────┘   └─────fail──────► failed
 *     receiving, completing ──expire──► expired, ──abort──► aborted
 *
 * Every event may come twice: what has happened already is no fault (`NEXT` leads back to the same state).
 */
import { AppError } from '../core/errors.ts'
import type { SentPart, SessionState, UploadSession } from '../core/upload-session.ts'

const MIB = 1024 * 1024

/**
 * 8 MiB: at 1 MB/s a cut connection costs 8 s of sending; above the 5 MiB that S3 wants of a part; and 50 GB are 6,000 rows.
 */
const CHUNK_BYTES = 8 * MIB
/** What a client may ask for: a chunk is a request, a row and an fsync; and with an S3 store it is held in memory. */
export const MIN_CHUNK_BYTES = 16 * 1024
export const MAX_CHUNK_BYTES = 64 * MIB
/** S3's most for the parts of an object, and a bound for the list of what is missing. */
const MAX_CHUNKS = 10_000

export interface ChunkPlan {
  readonly chunkBytes: number
  readonly chunkCount: number
}

/**
 * @param bytes 1 or more. @param wanted what the client asks for, within the bounds; larger where there would be too many.
 */
export const planChunks = (bytes: number, wanted = CHUNK_BYTES): ChunkPlan => {
  const least = Math.ceil(bytes / MAX_CHUNKS)
  const chunkBytes = wanted >= least ? wanted : Math.ceil(least / MIB) * MIB
  return { chunkBytes, chunkCount: countChunks({ bytes, chunkBytes }) }
}

export const countChunks = ({ bytes, chunkBytes }: Pick<UploadSession, 'bytes' | 'chunkBytes'>): number =>
  Math.ceil(bytes / chunkBytes)

export interface Span {
  readonly offset: number
  readonly bytes: number
}

/** Chunks are counted from 0. @throws AppError `bad-request` for a number that the session does not have. */
export const spanOf = (session: Pick<UploadSession, 'bytes' | 'chunkBytes'>, index: number): Span => {
  const count = countChunks(session)
  if (!Number.isSafeInteger(index) || index < 0 || index >= count)
    throw new AppError('bad-request', `chunk ${index} is none of this session's: they are 0 to ${count - 1}`)
  const offset = index * session.chunkBytes
  return { offset, bytes: Math.min(session.chunkBytes, session.bytes - offset) }
}

/** In their order. */
export const allChunks = (session: Pick<UploadSession, 'bytes' | 'chunkBytes'>): readonly Span[] =>
  Array.from({ length: countChunks(session) }, (_, index) => spanOf(session, index))

export type SessionEvent = 'receive' | 'complete' | 'release' | 'finish' | 'fail' | 'expire' | 'abort'

/** What is not here is not legal. */
const NEXT: Readonly<Record<SessionState, Readonly<Partial<Record<SessionEvent, SessionState>>>>> = {
  receiving: {
    receive: 'receiving',
    complete: 'completing',
    release: 'receiving',
    expire: 'expired',
    abort: 'aborted',
  },
  completing: {
    complete: 'completing',
    release: 'receiving',
    finish: 'done',
    fail: 'failed',
    expire: 'expired',
    abort: 'aborted',
  },
  done: { complete: 'done', finish: 'done' },
  failed: { fail: 'failed', abort: 'failed', expire: 'failed' },
  expired: { expire: 'expired', abort: 'expired' },
  aborted: { abort: 'aborted', expire: 'aborted' },
}

type Judged = Pick<UploadSession, 'id' | 'state' | 'expiresAt' | 'failure' | 'assetId'>

/** A session past its time is expired, whether or not the sweep has come by. */
export const stateAt = ({ state, expiresAt }: Pick<Judged, 'state' | 'expiresAt'>, now: Date): SessionState =>
  state === 'receiving' && expiresAt <= now ? 'expired' : state

/**
 * The state after an event.
 * @throws AppError for one that is not legal: `gone` (expired, aborted), `conflict` (done, or not now), and what made it fail.
 */
export const advance = (session: Judged, event: SessionEvent, now: Date): SessionState => {
  const state = stateAt(session, now)
  const next = NEXT[state][event]
  if (next !== undefined) return next
  throw refusal(session, state, event)
}

const refusal = ({ id, failure, assetId }: Judged, state: SessionState, event: SessionEvent): AppError => {
  switch (state) {
    case 'failed':
      return failure ? new AppError(failure.kind, failure.message) : new AppError('conflict', `the upload ${id} failed`)
    case 'expired':
      return new AppError('gone', `the upload session ${id} has expired; begin anew`)
    case 'aborted':
      return new AppError('gone', `the upload session ${id} was aborted`)
    case 'done':
      return new AppError('conflict', `the upload ${id} is done: it is the asset ${assetId}`)
    case 'completing':
    case 'receiving':
      return new AppError('conflict', `the upload ${id} is ${state}: no ${event} now`, { retryAfterSeconds: 1 })
    default:
      return state satisfies never
  }
}

/** What makes the bytes themselves unfit: trying again gives the same. Everything else may pass. */
const FINAL: ReadonlySet<string> = new Set(['unprocessable', 'undecodable', 'unsupported-type', 'too-large', 'gone'])

export const isFinalFailure = (error: unknown): error is AppError => error instanceof AppError && FINAL.has(error.kind)

/** Gaps between what was acknowledged, in order. `pieces` are sorted by offset. */
export const gapsIn = (pieces: readonly SentPart[], bytes: number): readonly Span[] => {
  const gaps: Span[] = []
  let at = 0
  for (const piece of [...pieces, { offset: bytes, bytes: 0 }]) {
    if (piece.offset > at) gaps.push({ offset: at, bytes: piece.offset - at })
    at = Math.max(at, piece.offset + piece.bytes)
  }
  return gaps
}

/** Bytes from the start without a gap: where a tus client goes on. */
export const contiguousBytes = (pieces: readonly SentPart[], bytes: number): number =>
  gapsIn(pieces, bytes)[0]?.offset ?? bytes

/** Chunk numbers in a message: the first of them, and how many. */
const SHOWN = 20

export const missingChunks = (
  session: Pick<UploadSession, 'bytes' | 'chunkBytes'>,
  pieces: readonly Pick<SentPart, 'offset'>[],
): readonly number[] => {
  const there = new Set(pieces.map(({ offset }) => offset / session.chunkBytes))
  return Array.from({ length: countChunks(session) }, (_, index) => index).filter((index) => !there.has(index))
}

/** @throws AppError `conflict` naming what is missing. */
export const assertWhole = (
  session: Pick<UploadSession, 'bytes' | 'chunkBytes' | 'protocol'>,
  pieces: readonly SentPart[],
): void => {
  const [gap] = gapsIn(pieces, session.bytes)
  if (!gap) return
  if (session.protocol === 'tus')
    throw new AppError('conflict', `${gap.offset} of ${session.bytes} bytes are there; go on from ${gap.offset}`)
  const missing = missingChunks(session, pieces)
  const shown = missing.slice(0, SHOWN).join(', ')
  const more = missing.length > SHOWN ? `, … (${missing.length} in all)` : ''
  throw new AppError('conflict', `chunks are missing: ${shown}${more}`)
}
