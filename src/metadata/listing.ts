/** Pages of an owner's assets by keyset: a page starts after the last row of the one before, so inserts never shift it. */
import { type ExpressionBuilder, type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Asset, Visibility } from '../core/asset.ts'
import type { Digest, OwnerId } from '../core/ids.ts'
import type { OriginalFormat } from '../core/image.ts'
import { joined } from './assets.ts'
import type { Queries } from './database.ts'
import { toAsset } from './rows.ts'
import type { Schema } from './schema.ts'

export const SORT_FIELDS = ['created_at', 'updated_at', 'bytes', 'filename'] as const
export type SortField = (typeof SORT_FIELDS)[number]

/** Where a page ended: the sort value and the id, which breaks ties. */
export interface ListingPosition {
  readonly value: string | number
  readonly id: string
}

export interface ListingFilter {
  readonly visibility?: Visibility | undefined
  readonly format?: OriginalFormat | undefined
  /** Assets that carry exactly this tag. */
  readonly tag?: string | undefined
  readonly createdAfter?: Date | undefined
  readonly createdBefore?: Date | undefined
  readonly digest?: Digest | undefined
  /** Part of the filename, whatever the case (ASCII). */
  readonly filenamePart?: string | undefined
  readonly state: 'live' | 'deleted'
}

export interface ListingQuery {
  readonly ownerId: OwnerId
  readonly filter: ListingFilter
  readonly sort: SortField
  readonly descending: boolean
  readonly after?: ListingPosition | undefined
  readonly limit: number
}

/** The value an asset has in an order; an absent filename sorts first, as the empty one. */
export const sortValue = (asset: Asset, sort: SortField): string | number => {
  switch (sort) {
    case 'created_at':
      return asset.createdAt.getTime()
    case 'updated_at':
      return asset.updatedAt.getTime()
    case 'bytes':
      return asset.bytes
    case 'filename':
      return asset.filename ?? ''
    default:
      return sort satisfies never
  }
}

/** One page, in the order asked for. A filter without an index of its own scans the owner's rows: run it on `search`. */
export const listAssets = async (queries: Queries, query: ListingQuery): Promise<readonly Asset[]> => {
  const { filter, sort, descending, after } = query
  const column: RawBuilder<string | number> =
    sort === 'filename' ? sql`coalesce(assets.filename, '')` : sql`${sql.ref(`assets.${sort}`)}`
  const direction = descending ? 'desc' : 'asc'
  const rows = await joined(queries)
    .where('assets.owner', '=', query.ownerId)
    .where((builder) => builder.and(conditions(builder, filter)))
    .$if(after !== undefined, (page) =>
      page.where(
        descending
          ? sql<SqlBool>`(${column}, assets.id) < (${after?.value}, ${after?.id})`
          : sql<SqlBool>`(${column}, assets.id) > (${after?.value}, ${after?.id})`,
      ),
    )
    .orderBy(column, direction)
    .orderBy('assets.id', direction)
    .limit(query.limit)
    .execute()
  return rows.map(toAsset)
}

const conditions = (is: ExpressionBuilder<Pick<Schema, 'assets'>, 'assets'>, filter: ListingFilter) => [
  is('assets.deleted_at', filter.state === 'live' ? 'is' : 'is not', null),
  ...(filter.visibility ? [is('assets.visibility', '=', filter.visibility)] : []),
  ...(filter.format ? [is('assets.format', '=', filter.format)] : []),
  ...(filter.digest ? [is('assets.digest', '=', filter.digest)] : []),
  ...(filter.createdAfter ? [is('assets.created_at', '>', filter.createdAfter.getTime())] : []),
  ...(filter.createdBefore ? [is('assets.created_at', '<', filter.createdBefore.getTime())] : []),
  // Not LIKE: SQLite's ignores case, PostgreSQL's does not. The quotes of the JSON text bound the tag ("cat" is not found
  // in ["catalogue"]); a tag itself holds no quotes.
  ...(filter.tag ? [sql<SqlBool>`replace(assets.tags, ${JSON.stringify(filter.tag)}, '') <> assets.tags`] : []),
  ...(filter.filenamePart
    ? [sql<SqlBool>`lower(assets.filename) like ${likePattern(filter.filenamePart)} escape '\\'`]
    : []),
]

/** Text as part of a LIKE pattern, its own wildcards quoted, ASCII letters lowered as SQL's lower() does in every locale. */
const likePattern = (text: string): string =>
  `%${text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replace(/[\\%_]/g, '\\$&')}%`
