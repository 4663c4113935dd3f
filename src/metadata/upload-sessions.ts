/** Rows of resumable uploads: the sessions. Their pieces are in `upload-pieces.ts`. */
import type { Selectable } from 'kysely'
import type { ErrorKind } from '../core/errors.ts'
import type { AssetId, Digest, OwnerId, UploadId } from '../core/ids.ts'
import type { SessionFailure, SessionState, UploadProtocol, UploadSession } from '../core/upload-session.ts'
import type { Queries } from './database.ts'
import type { UploadSessionsTable } from './schema.ts'

export const insertSession = async (transaction: Queries, session: UploadSession): Promise<void> => {
  await transaction
    .insertInto('upload_sessions')
    .values({
      id: session.id,
      owner: session.ownerId,
      protocol: session.protocol,
      state: session.state,
      bytes: session.bytes,
      chunk_bytes: session.chunkBytes,
      media_type: session.mediaType,
      declared: session.declared,
      details: session.details,
      tus_metadata: session.tusMetadata,
      created_at: session.createdAt.getTime(),
      expires_at: session.expiresAt.getTime(),
      asset_id: session.assetId,
      deduplicated: session.deduplicated ? 1 : 0,
      failure_kind: session.failure?.kind ?? null,
      failure: session.failure?.message ?? null,
      claim: null,
    })
    .execute()
}

export const findSession = async (queries: Queries, id: UploadId): Promise<UploadSession | undefined> => {
  const row = await queries.selectFrom('upload_sessions').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toSession(row)
}

const toSession = (row: Selectable<UploadSessionsTable>): UploadSession => ({
  id: row.id as UploadId,
  ownerId: row.owner as OwnerId,
  protocol: row.protocol as UploadProtocol,
  state: row.state as SessionState,
  bytes: row.bytes,
  chunkBytes: row.chunk_bytes,
  mediaType: row.media_type,
  declared: row.declared as Digest | null,
  details: row.details,
  tusMetadata: row.tus_metadata,
  createdAt: new Date(row.created_at),
  expiresAt: new Date(row.expires_at),
  assetId: row.asset_id as AssetId | null,
  deduplicated: row.deduplicated === 1,
  failure: row.failure_kind === null ? null : { kind: row.failure_kind as ErrorKind, message: row.failure ?? '' },
})

/** Sessions of an owner that still take bytes. */
export const countOpenSessions = async (queries: Queries, ownerId: OwnerId, now: Date): Promise<number> => {
  const row = await queries
    .selectFrom('upload_sessions')
    .select(({ fn }) => fn.countAll<number>().as('sessions'))
    .where('owner', '=', ownerId)
    .where('state', 'in', ['receiving', 'completing'])
    .where('expires_at', '>', now.getTime())
    .executeTakeFirstOrThrow()
  return Number(row.sessions)
}

export interface SessionOutcome {
  readonly state: SessionState
  readonly assetId?: AssetId
  readonly deduplicated?: boolean
  readonly failure?: SessionFailure
}

/** The caller has read the session in this transaction, or holds its lock, and found the change legal. */
export const setSessionOutcome = async (
  transaction: Queries,
  id: UploadId,
  { state, assetId, deduplicated, failure }: SessionOutcome,
): Promise<void> => {
  await transaction
    .updateTable('upload_sessions')
    .set({
      state,
      ...(assetId !== undefined && { asset_id: assetId, deduplicated: deduplicated ? 1 : 0 }),
      ...(failure && { failure_kind: failure.kind, failure: failure.message }),
    })
    .where('id', '=', id)
    .execute()
}

/** Sessions past their time that have not been ended, the oldest first. */
export const findExpiredSessions = async (
  queries: Queries,
  now: Date,
  limit: number,
): Promise<readonly UploadSession[]> => {
  const rows = await queries
    .selectFrom('upload_sessions')
    .selectAll()
    .where('expires_at', '<=', now.getTime())
    .where('state', 'in', ['receiving', 'completing'])
    .orderBy('expires_at')
    .limit(limit)
    .execute()
  return rows.map(toSession)
}

/** Forgets ended sessions that expired before an instant; answers how many. */
export const dropEndedSessions = async (transaction: Queries, before: Date): Promise<number> => {
  const result = await transaction
    .deleteFrom('upload_sessions')
    .where('expires_at', '<=', before.getTime())
    .where('state', 'in', ['done', 'failed', 'expired', 'aborted'])
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}

/** Those of `ids` whose bytes nobody needs any more: no row, or an ended session. */
export const withoutOpenSession = async (queries: Queries, ids: readonly UploadId[]): Promise<readonly UploadId[]> => {
  if (ids.length === 0) return []
  const rows = await queries
    .selectFrom('upload_sessions')
    .select('id')
    .where('id', 'in', ids)
    .where('state', 'in', ['receiving', 'completing'])
    .execute()
  const open = new Set<string>(rows.map(({ id }) => id))
  return ids.filter((id) => !open.has(id))
}

/** Says that somebody waits for the session's lock; the last who says so counts. */
export const claimSession = async (transaction: Queries, id: UploadId, claim: string): Promise<void> => {
  await transaction.updateTable('upload_sessions').set({ claim }).where('id', '=', id).execute()
}

export const findClaim = async (queries: Queries, id: UploadId): Promise<string | null> => {
  const row = await queries.selectFrom('upload_sessions').select('claim').where('id', '=', id).executeTakeFirst()
  return row?.claim ?? null
}
