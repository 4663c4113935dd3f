/** Rows of originals: the facts of every hash whose bytes are in the store. */
import type { Location, OriginalCondition } from '../core/asset.ts'
import type { Digest } from '../core/ids.ts'
import type { ImageFacts } from '../core/image.ts'
import type { Queries } from './database.ts'
import { prepareInsert, prepareQuery } from './prepared.ts'
import { CONDITION_COLUMNS, FACT_COLUMNS, toCondition, toFacts, toLocation } from './rows.ts'

export interface OriginalRecord {
  readonly digest: Digest
  readonly bytes: number
  readonly facts: ImageFacts
  /** From the file's EXIF, for its owners' eyes only. */
  readonly takenAt: string | null
  readonly location: Location | null
  readonly camera: string | null
  /** Of a row that is there. Of one to be inserted: what is known of its bytes, by default that nobody asked for a scan. */
  readonly condition?: OriginalCondition
}

/** The columns of `originals` that make up OriginalRecord. */
export const ORIGINAL_COLUMNS = [
  ...FACT_COLUMNS,
  ...CONDITION_COLUMNS,
  'originals.bytes',
  'originals.taken_at',
  'originals.latitude',
  'originals.longitude',
  'originals.camera',
] as const

const selectOriginal = prepareQuery((queries, { digest }: { readonly digest: Digest }) =>
  queries.selectFrom('originals').select(ORIGINAL_COLUMNS).where('digest', '=', digest),
)

/** What is known of a hash; undefined when its bytes are not in the store. One look-up by primary key. */
export const findOriginal = async (queries: Queries, digest: Digest): Promise<OriginalRecord | undefined> => {
  const [row] = await selectOriginal(queries, { digest })
  return row && toOriginal(digest, row)
}

type OriginalRow = Awaited<ReturnType<typeof selectOriginal>>[number]

export const toOriginal = (digest: Digest, row: OriginalRow): OriginalRecord => ({
  digest,
  bytes: row.bytes,
  facts: toFacts(row),
  takenAt: row.taken_at,
  location: toLocation(row),
  camera: row.camera,
  condition: toCondition(row),
})

const rowOf = ({ digest, bytes, facts, takenAt, location, camera, condition }: OriginalRecord, createdAt: number) => ({
  digest,
  bytes,
  format: facts.format,
  width: facts.width,
  height: facts.height,
  orientation: facts.orientation,
  pages: facts.pages,
  animated: facts.animated ? 1 : 0,
  has_alpha: facts.hasAlpha ? 1 : 0,
  colour_space: facts.colourSpace,
  has_profile: facts.hasProfile ? 1 : 0,
  taken_at: takenAt,
  latitude: location?.latitude ?? null,
  longitude: location?.longitude ?? null,
  camera,
  created_at: createdAt,
  scan: condition?.scan ?? 'none',
})

const insertNew = prepareInsert((queries, rows: readonly ReturnType<typeof rowOf>[]) =>
  queries
    .insertInto('originals')
    .values([...rows])
    .onConflict((conflict) => conflict.column('digest').doNothing()),
)

/** Adds those that are not there yet. */
export const insertOriginals = (transaction: Queries, originals: readonly OriginalRecord[]): Promise<void> => {
  const now = Date.now()
  return insertNew(
    transaction,
    originals.map((original) => rowOf(original, now)),
  )
}

/** The given digests that have no row. At most a few hundred at once: they are bound one by one. */
export const withoutRow = async (queries: Queries, digests: readonly Digest[]): Promise<readonly Digest[]> => {
  if (digests.length === 0) return []
  const rows = await queries.selectFrom('originals').select('digest').where('digest', 'in', digests).execute()
  const known = new Set(rows.map((row) => row.digest))
  return digests.filter((digest) => !known.has(digest))
}

/** Removes the row unless some asset, live or in grace, still refers to it. Answers whether it is gone. */
export const removeOriginalIfUnreferenced = async (transaction: Queries, digest: Digest): Promise<boolean> => {
  const referring = await transaction
    .selectFrom('assets')
    .select('id')
    .where('digest', '=', digest)
    .limit(1)
    .executeTakeFirst()
  if (referring) return false
  await transaction.deleteFrom('originals').where('digest', '=', digest).execute()
  return true
}

/** The reference count of CONTRACT §7: live assets of the hash. Counted, never stored: see `schema.ts`. */
export const countReferences = async (queries: Queries, digest: Digest): Promise<number> => {
  const { count } = await queries
    .selectFrom('assets')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('digest', '=', digest)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}
