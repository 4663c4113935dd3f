/** Rows of resumable uploads: which bytes of a session were acknowledged. */
import type { Digest, UploadId } from '../core/ids.ts'
import type { Piece } from '../core/upload-session.ts'
import type { Queries } from './database.ts'

/** In the order of the file. */
export const listPieces = async (queries: Queries, id: UploadId): Promise<readonly Piece[]> => {
  const rows = await queries
    .selectFrom('upload_pieces')
    .select(['first_byte', 'bytes', 'digest'])
    .where('session', '=', id)
    .orderBy('first_byte')
    .execute()
  return rows.map((row) => ({ offset: row.first_byte, bytes: row.bytes, digest: row.digest as Digest }))
}

export const findPiece = async (queries: Queries, id: UploadId, offset: number): Promise<Piece | undefined> => {
  const row = await queries
    .selectFrom('upload_pieces')
    .select(['bytes', 'digest'])
    .where('session', '=', id)
    .where('first_byte', '=', offset)
    .executeTakeFirst()
  return row && { offset, bytes: row.bytes, digest: row.digest as Digest }
}

/** The end of what is there, for a session whose pieces have no gaps; and how many there are. */
export const measurePieces = async (
  queries: Queries,
  id: UploadId,
): Promise<{ readonly bytes: number; readonly pieces: number }> => {
  const row = await queries
    .selectFrom('upload_pieces')
    .select(({ fn }) => [fn.sum<number | null>('bytes').as('bytes'), fn.countAll<number>().as('pieces')])
    .where('session', '=', id)
    .executeTakeFirstOrThrow()
  return { bytes: Number(row.bytes ?? 0), pieces: Number(row.pieces) }
}

/** Adds those that are not there yet; what is there stays as it is. */
export const insertPieces = async (
  transaction: Queries,
  pieces: readonly (Piece & { readonly session: UploadId })[],
): Promise<void> => {
  await transaction
    .insertInto('upload_pieces')
    .values(
      pieces.map(({ session, offset, bytes, digest }) => ({
        session,
        first_byte: offset,
        bytes,
        digest: String(digest),
      })),
    )
    .onConflict((conflict) => conflict.columns(['session', 'first_byte']).doNothing())
    .execute()
}

export const dropPieces = async (transaction: Queries, id: UploadId): Promise<void> => {
  await transaction.deleteFrom('upload_pieces').where('session', '=', id).execute()
}
