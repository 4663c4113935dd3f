/** API keys by the SHA-256 of the key: who owns them, and since when they no longer open anything. */
import type { OwnerId } from '../core/ids.ts'
import type { Queries } from './database.ts'

export interface ApiKey {
  readonly id: string
  readonly ownerId: OwnerId
  readonly name: string
  readonly createdAt: Date
  readonly revokedAt: Date | null
}

/** Owner of a key that is not revoked; one look-up by primary key. */
export const findKeyOwner = async (queries: Queries, hash: string): Promise<OwnerId | undefined> => {
  const row = await queries
    .selectFrom('api_keys')
    .select('owner')
    .where('hash', '=', hash)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return row?.owner as OwnerId | undefined
}

export const insertApiKey = async (transaction: Queries, hash: string, key: ApiKey): Promise<void> => {
  await transaction
    .insertInto('api_keys')
    .values({
      hash,
      id: key.id,
      owner: key.ownerId,
      name: key.name,
      created_at: key.createdAt.getTime(),
      revoked_at: key.revokedAt?.getTime() ?? null,
    })
    .execute()
}

/** Every key, newest first, revoked ones too. */
export const listApiKeys = async (queries: Queries): Promise<readonly ApiKey[]> => {
  const rows = await queries
    .selectFrom('api_keys')
    .select(['id', 'owner', 'name', 'created_at', 'revoked_at'])
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    ownerId: row.owner as OwnerId,
    name: row.name,
    createdAt: new Date(row.created_at),
    revokedAt: row.revoked_at === null ? null : new Date(row.revoked_at),
  }))
}

/** Revokes a key; again is no error. Answers false where there is no such key. */
export const revokeApiKey = async (transaction: Queries, id: string, at: Date): Promise<boolean> => {
  await transaction
    .updateTable('api_keys')
    .set({ revoked_at: at.getTime() })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .execute()
  const row = await transaction.selectFrom('api_keys').select('id').where('id', '=', id).executeTakeFirst()
  return row !== undefined
}
