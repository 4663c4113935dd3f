/** Assets and originals as the domain sees them, and the legal moves in an asset's life. */
import type { AssetId, Digest, OwnerId } from './ids.ts'
import type { ImageFacts } from './image.ts'

export const VISIBILITIES = ['public', 'private'] as const
export type Visibility = (typeof VISIBILITIES)[number]

/** `none`: nobody asked. `pending`: it is to be scanned. `infected`: never served, whatever the configuration. */
export const SCAN_STATES = ['none', 'pending', 'clean', 'infected'] as const
export type ScanState = (typeof SCAN_STATES)[number]

/** `missing`: the store has no such bytes. `damaged`: it has others than were uploaded. An upload of the right bytes is the cure. */
export const ORIGINAL_FAULTS = ['missing', 'damaged'] as const
export type OriginalFault = (typeof ORIGINAL_FAULTS)[number]

/** The state of the stored bytes, the same for all assets that share them. */
export interface OriginalCondition {
  readonly scan: ScanState
  readonly fault: OriginalFault | null
}

/** Coordinates in degrees, WGS 84. */
export interface Location {
  readonly latitude: number
  readonly longitude: number
}

/** What a caller may say about an asset, at upload or later. */
export interface AssetDetails {
  readonly filename: string | null
  readonly title: string | null
  readonly description: string | null
  readonly visibility: Visibility
  readonly tags: readonly string[]
  readonly location: Location | null
  /** ISO 8601 instant. */
  readonly takenAt: string | null
}

export interface Asset extends AssetDetails {
  readonly id: AssetId
  readonly ownerId: OwnerId
  readonly digest: Digest
  /** Size of the original in bytes. */
  readonly bytes: number
  readonly facts: ImageFacts
  /** As it was when the asset was read. Absent: as of bytes just stored. */
  readonly condition?: OriginalCondition
  readonly createdAt: Date
  readonly updatedAt: Date
  /** Set from the soft delete until restore or the hard delete; null while live. */
  readonly deletedAt: Date | null
}

/**
 * What delivery has to know of a hash. `public`: some live asset is public. `private`: live, but no live asset is public
 * (404 unless signed). `deleted`: assets existed, none is live (410; see `wasPublic`).
 */
export interface DeliverySubject {
  readonly digest: Digest
  readonly access: 'public' | 'private' | 'deleted'
  /** With `deleted`: one of them was public, so a stranger may be told 410. Else only a signed request is; others get 404. */
  readonly wasPublic: boolean
  /** Owner of the oldest live public asset, else of the oldest live one; for the event row. */
  readonly ownerId: OwnerId
  readonly bytes: number
  readonly facts: ImageFacts
  /** The stored bytes must not be used: variants made before are right, nothing new can be made. */
  readonly fault: OriginalFault | null
}
