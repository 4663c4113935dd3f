/** Who refers to an original: its assets, whoever owns them. */
import type { Asset } from '../core/asset.ts'
import type { AssetId, Digest, OwnerId } from '../core/ids.ts'
import type { Queries } from './database.ts'

export type Reference = Pick<Asset, 'id' | 'ownerId' | 'visibility' | 'createdAt' | 'updatedAt' | 'deletedAt'>

/** The assets of a hash, the deleted that can still be restored among them; those changed last first. */
export const listReferences = async (
  queries: Queries,
  digest: Digest,
  limit: number,
): Promise<readonly Reference[]> => {
  const rows = await queries
    .selectFrom('assets')
    .select(['id', 'owner', 'visibility', 'created_at', 'updated_at', 'deleted_at'])
    .where('digest', '=', digest)
    .orderBy('updated_at', 'desc')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    id: row.id as AssetId,
    ownerId: row.owner as OwnerId,
    visibility: row.visibility as Asset['visibility'],
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
    deletedAt: row.deleted_at === null ? null : new Date(row.deleted_at),
  }))
}
