/** Chunks that clients put into the store themselves: who may, the requests signed for them, and what is in. */
import type { DirectChunks } from '../blobs/chunk-store.ts'
import { AppError } from '../core/errors.ts'
import type { Piece, SentPart, UploadSession } from '../core/upload-session.ts'
import { advance, allChunks, countChunks, gapsIn, spanOf } from './session.ts'

/** Requests signed at once: 32 × 0.5 ms of CPU (measured), and 256 MiB of chunks of 8 MiB. */
export const PARTS_A_PAGE = 32
/** A page's chunks at 75 kB/s. Whoever is slower asks again. */
const SIGNED_SECONDS = 3_600

export interface SignedPart {
  readonly chunk: number
  readonly bytes: number
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

export interface PartsPage {
  readonly parts: readonly SignedPart[]
  readonly expiresAt: Date
  /** The first chunk of the next page. */
  readonly next: number | undefined
}

export interface Parts {
  /** `unsigned`: uploads begun without parts, as nothing could be signed. */
  readonly stats: Readonly<{ signed: number; unsigned: number }>
  /** The first page for a session that was just made. undefined where there are no parts, or none now: its chunks may come here as well. */
  offer(session: UploadSession): Promise<PartsPage | undefined>
  /** @throws AppError `conflict` where they may not be, or not now; `gone`; `bad-request` for a chunk that there is not. */
  sign(session: UploadSession, from: number): Promise<PartsPage>
  /** What is in by either way, in order, once `pieces` came through an origin. Asks the store only where something is missing. */
  withSent(session: UploadSession, pieces: readonly Piece[]): Promise<readonly (Piece | SentPart)[]>
}

export const createParts = (direct: DirectChunks | undefined): Parts => {
  const stats = { signed: 0, unsigned: 0 }
  /** Whether the session's chunks may be put into the store directly. */
  const taken = (session: UploadSession): boolean =>
    direct !== undefined &&
    session.protocol === 'chunks' &&
    (session.chunkBytes >= direct.minBytes || countChunks(session) === 1)

  const sign = async (session: UploadSession, from: number): Promise<PartsPage> => {
    if (!direct || !taken(session))
      throw new AppError('conflict', `the upload ${session.id} takes its chunks at /uploads/${session.id}/chunks/`)
    const now = new Date()
    advance(session, 'receive', now)
    spanOf(session, from)
    const count = countChunks(session)
    const until = Math.min(from + PARTS_A_PAGE, count)
    // At least one second: the store refuses what expires at once, and so does the session.
    const left = Math.max(1, Math.floor((session.expiresAt.getTime() - now.getTime()) / 1000))
    const seconds = await direct.lasts(Math.min(SIGNED_SECONDS, left))
    // Of the whole file, so of a chunk only where that is all of it.
    const digest = count === 1 && session.declared !== null ? session.declared : undefined
    const parts: SignedPart[] = []
    for (let chunk = from; chunk < until; chunk++) {
      const span = spanOf(session, chunk)
      parts.push({ chunk, bytes: span.bytes, ...(await direct.sign(session.id, span, digest, seconds)) })
    }
    stats.signed += parts.length
    const expiresAt = new Date(now.getTime() + seconds * 1000)
    return { parts, expiresAt, next: until < count ? until : undefined }
  }

  return {
    stats,
    sign,
    offer: async (session) => {
      if (!taken(session)) return undefined
      try {
        return await sign(session, 0)
      } catch (error) {
        if (!(error instanceof AppError)) throw error
        stats.unsigned += 1
        return undefined
      }
    },
    withSent: async (session, pieces) => {
      if (!direct || !taken(session) || gapsIn(pieces, session.bytes).length === 0) return pieces
      return mergeSent(session, pieces, await direct.sent(session.id))
    },
  }
}

/** Pure. What was acknowledged counts; of what was put, whole chunks that are not among it. */
export const mergeSent = (
  session: Pick<UploadSession, 'bytes' | 'chunkBytes'>,
  pieces: readonly Piece[],
  sent: readonly SentPart[],
): readonly (Piece | SentPart)[] => {
  const acknowledged = new Set(pieces.map(({ offset }) => offset))
  const put = new Map(sent.map(({ offset, bytes }) => [offset, bytes]))
  const whole = allChunks(session).filter(({ offset, bytes }) => !acknowledged.has(offset) && put.get(offset) === bytes)
  return [...pieces, ...whole].sort((a, b) => a.offset - b.offset)
}
