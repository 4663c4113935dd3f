/** What delivery and precheck ask of a hash, each in one statement whose every part is one range of an index. */
import { sql } from 'kysely'
import type { DeliverySubject } from '../core/asset.ts'
import type { AssetId, Digest, OwnerId } from '../core/ids.ts'
import type { Queries } from './database.ts'
import { prepareQuery } from './prepared.ts'
import { CONDITION_COLUMNS, FACT_COLUMNS, toCondition, toFacts } from './rows.ts'

/** Scalar subqueries with a limit of one instead of an aggregate: a hash that a million assets share costs no more than one. */
const selectSubject = prepareQuery((queries, { digest }: { readonly digest: Digest }) => {
  const owner = (visibility: string, live: boolean) =>
    sql<string | null>`(select owner from assets where digest = ${digest} and visibility = ${visibility}
      and deleted_at is ${live ? sql`null` : sql`not null`} order by deleted_at, created_at limit 1)`
  return queries
    .selectFrom('originals')
    .select([...FACT_COLUMNS, ...CONDITION_COLUMNS, 'originals.bytes'])
    .select([
      owner('public', true).as('public_owner'),
      owner('private', true).as('private_owner'),
      owner('public', false).as('deleted_public_owner'),
      owner('private', false).as('deleted_private_owner'),
    ])
    .where('originals.digest', '=', digest)
})

/**
 * Access and facts of a hash; undefined when no asset, live or in grace, has it, or when its bytes may not be shown: found infected, or,
 * with `hold`, waiting for a scan.
 */
export const findDeliverySubject = async (
  queries: Queries,
  digest: Digest,
  hold = false,
): Promise<DeliverySubject | undefined> => {
  const [row] = await selectSubject(queries, { digest })
  const ownerId =
    row && (row.public_owner ?? row.private_owner ?? row.deleted_public_owner ?? row.deleted_private_owner)
  if (!row || !ownerId) return undefined
  const { scan, fault } = toCondition(row)
  if (scan === 'infected' || (hold && scan === 'pending')) return undefined
  return {
    digest,
    access: row.public_owner !== null ? 'public' : row.private_owner !== null ? 'private' : 'deleted',
    wasPublic: row.public_owner !== null || row.deleted_public_owner !== null,
    ownerId: ownerId as OwnerId,
    bytes: row.bytes,
    facts: toFacts(row),
    fault,
  }
}

export interface KnownContent {
  readonly bytes: number
  /** False where the store has lost or damaged them: then an upload is the cure, and nothing else is. */
  readonly sound: boolean
  /** A live asset of the asking owner with these bytes. */
  readonly assetId: AssetId | undefined
}

const selectKnownContent = prepareQuery(
  (queries, { digest, ownerId }: { readonly digest: Digest; readonly ownerId: OwnerId }) =>
    queries
      .selectFrom('originals')
      .select([
        'bytes',
        'fault',
        sql<string | null>`(select id from assets where owner = ${ownerId} and digest = ${digest}
        and deleted_at is null limit 1)`.as('asset_id'),
      ])
      .where('digest', '=', digest),
)

/** Are the bytes of this hash in the store, and does this owner have them? */
export const findKnownContent = async (
  queries: Queries,
  digest: Digest,
  ownerId: OwnerId,
): Promise<KnownContent | undefined> => {
  const [row] = await selectKnownContent(queries, { digest, ownerId })
  if (!row) return undefined
  return { bytes: row.bytes, sound: row.fault === null, assetId: (row.asset_id ?? undefined) as AssetId | undefined }
}
