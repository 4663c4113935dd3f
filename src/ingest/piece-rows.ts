/** Acknowledging bytes: rows of pieces, many in a transaction, and only into sessions that still receive. */
import { AppError } from '../core/errors.ts'
import { createGroupCommit, type GroupCommitStats } from '../core/group-commit.ts'
import type { UploadId } from '../core/ids.ts'
import type { Piece, UploadSession } from '../core/upload-session.ts'
import type { Metadata, Queries } from '../metadata/database.ts'
import { findPiece, insertPieces, measurePieces } from '../metadata/upload-pieces.ts'
import { findSession } from '../metadata/upload-sessions.ts'
import { advance } from './session.ts'

/** Rows of one transaction: as of uploads (`commit.ts`). */
const MAX_BATCH = 64
/** Of a tus session: 50 GB in requests of 512 KiB. A client that sends less at once must not make millions of rows. */
const MAX_PIECES = 100_000

export interface PieceRows {
  readonly stats: Readonly<GroupCommitStats>
  /**
   * A chunk, durable when it resolves. @throws AppError `conflict` when other bytes were acknowledged in its place, or the session
   * no longer receives; `gone` when it has ended.
   */
  add(session: UploadSession, piece: Piece): Promise<void>
  /** As `add`, at the end of what is there and nowhere else. */
  append(session: UploadSession, piece: Piece): Promise<void>
}

export const createPieceRows = (metadata: Metadata): PieceRows => {
  const group = createGroupCommit<Piece & { readonly session: UploadId }>(
    (pieces) =>
      metadata.transaction(async (transaction) => {
        for (const id of new Set(pieces.map(({ session }) => session))) await assertReceiving(transaction, id)
        await insertPieces(transaction, pieces)
      }),
    MAX_BATCH,
  )
  return {
    stats: group.stats,
    add: async ({ id }, piece) => {
      await group.commit({ ...piece, session: id })
      // Another request, of whatever instance, may have been first: its bytes are what was acknowledged.
      const there = await findPiece(metadata.read, id, piece.offset)
      if (there?.digest !== piece.digest) throw otherBytes(piece.offset)
    },
    append: ({ id }, piece) =>
      metadata.transaction(async (transaction) => {
        await assertReceiving(transaction, id)
        const { bytes, pieces } = await measurePieces(transaction, id)
        if (bytes !== piece.offset) throw new AppError('conflict', `the upload is at ${bytes}, not at ${piece.offset}`)
        if (pieces >= MAX_PIECES)
          throw new AppError('conflict', `the upload came in ${pieces} parts; begin anew, and send more at once`)
        await insertPieces(transaction, [{ ...piece, session: id }])
      }),
  }
}

export const otherBytes = (offset: number): AppError =>
  new AppError('conflict', `other bytes were acknowledged at ${offset}; abort the session to send another file`)

const assertReceiving = async (transaction: Queries, id: UploadId): Promise<void> => {
  const session = await findSession(transaction, id)
  if (!session) throw new AppError('gone', `the upload session ${id} has ended`)
  advance(session, 'receive', new Date())
}
