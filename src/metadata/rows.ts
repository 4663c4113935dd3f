/** Rows → words of the domain. The database holds only what our own code wrote, so these are the one place of trust in it. */
import type { Selectable } from 'kysely'
import type {
  Asset,
  AssetDetails,
  Location,
  OriginalCondition,
  OriginalFault,
  ScanState,
  Visibility,
} from '../core/asset.ts'
import type { AssetId, Digest, OwnerId } from '../core/ids.ts'
import type { ImageFacts, OriginalFormat } from '../core/image.ts'
import type { AssetsTable, OriginalsTable } from './schema.ts'

/** The columns of `originals` that make up ImageFacts. */
export const FACT_COLUMNS = [
  'originals.format',
  'originals.width',
  'originals.height',
  'originals.orientation',
  'originals.pages',
  'originals.animated',
  'originals.has_alpha',
  'originals.colour_space',
  'originals.has_profile',
] as const

type FactsRow = Pick<
  Selectable<OriginalsTable>,
  'format' | 'width' | 'height' | 'orientation' | 'pages' | 'animated' | 'has_alpha' | 'colour_space' | 'has_profile'
>

export const toFacts = (row: FactsRow): ImageFacts => ({
  format: row.format as OriginalFormat,
  width: row.width,
  height: row.height,
  orientation: row.orientation,
  pages: row.pages,
  animated: row.animated === 1,
  hasAlpha: row.has_alpha === 1,
  colourSpace: row.colour_space,
  hasProfile: row.has_profile === 1,
})

export const toLocation = (row: { readonly latitude: number | null; readonly longitude: number | null }) =>
  row.latitude === null || row.longitude === null
    ? null
    : ({ latitude: row.latitude, longitude: row.longitude } satisfies Location)

/** The columns of `originals` that make up OriginalCondition. */
export const CONDITION_COLUMNS = ['originals.scan', 'originals.fault'] as const

type ConditionRow = Pick<Selectable<OriginalsTable>, 'scan' | 'fault'>

export const toCondition = (row: ConditionRow): OriginalCondition => ({
  scan: row.scan as ScanState,
  fault: row.fault as OriginalFault | null,
})

/** A row of `assets` joined with the facts and the condition of its original. */
export const toAsset = (row: Selectable<AssetsTable> & FactsRow & ConditionRow): Asset => ({
  condition: toCondition(row),
  id: row.id as AssetId,
  ownerId: row.owner as OwnerId,
  digest: row.digest as Digest,
  bytes: row.bytes,
  facts: toFacts(row),
  filename: row.filename,
  title: row.title,
  description: row.description,
  visibility: row.visibility as Visibility,
  tags: JSON.parse(row.tags) as string[],
  location: toLocation(row),
  takenAt: row.taken_at,
  createdAt: new Date(row.created_at),
  updatedAt: new Date(row.updated_at),
  deletedAt: row.deleted_at === null ? null : new Date(row.deleted_at),
})

/** The editable details → columns of `assets`. */
export const detailColumns = (details: AssetDetails) => ({
  filename: details.filename,
  title: details.title,
  description: details.description,
  visibility: details.visibility,
  tags: JSON.stringify(details.tags),
  latitude: details.location?.latitude ?? null,
  longitude: details.location?.longitude ?? null,
  taken_at: details.takenAt,
})
