/** The tables as Kysely sees them. Neutral types only (text, integer, real), so that PostgreSQL can hold the same rows. */
import type { Generated } from 'kysely'

/** Epoch milliseconds. */
type Instant = number
/** 0 or 1. */
type Flag = number

export interface OriginalsTable {
  readonly digest: string
  readonly bytes: number
  readonly format: string
  readonly width: number
  readonly height: number
  readonly orientation: number
  readonly pages: number
  readonly animated: Flag
  readonly has_alpha: Flag
  readonly colour_space: string
  readonly has_profile: Flag
  /** What the file itself says: kept with the bytes, so that a later upload of the same bytes needs no probe. */
  readonly taken_at: string | null
  readonly latitude: number | null
  readonly longitude: number | null
  readonly camera: string | null
  readonly created_at: Instant
  /** What a scanner said of the bytes: see `core/asset.ts`. */
  readonly scan: Generated<string>
  /** What is wrong with the stored bytes, or null. */
  readonly fault: string | null
  /** Last read, noted once a day at most, and only where there is a colder class to move it to; null: not since it came. */
  readonly used_at: Generated<Instant | null>
}

/**
 * The reference count of an original is the number of its rows here with `deleted_at` null. It is counted, by an index,
 * where it is asked for, and not kept in a column: a derived count cannot drift from the rows.
 */
export interface AssetsTable {
  readonly id: string
  readonly owner: string
  readonly digest: string
  readonly filename: string | null
  readonly title: string | null
  readonly description: string | null
  readonly visibility: string
  /** JSON array of strings. */
  readonly tags: string
  readonly latitude: number | null
  readonly longitude: number | null
  readonly taken_at: string | null
  /** Copies of the original's immutable facts, so that pages by size and format are one index range of this table. */
  readonly bytes: number
  readonly format: string
  readonly created_at: Instant
  readonly updated_at: Instant
  readonly deleted_at: Instant | null
}

export interface IdempotencyTable {
  readonly owner: string
  readonly key: string
  /** SHA-256 of what was asked; another body under the same key is refused. */
  readonly fingerprint: string
  readonly asset_id: string
  readonly deduplicated: Flag
  readonly created_at: Instant
}

export interface ApiKeysTable {
  /** SHA-256 of the key; the key itself is nowhere. */
  readonly hash: string
  readonly id: string
  readonly owner: string
  readonly name: string
  readonly created_at: Instant
  readonly revoked_at: Instant | null
}

/** One row per change of an asset, written in the transaction that makes it; `seq` is made by the database and only grows. */
export interface ChangesTable {
  readonly seq: Generated<number>
  readonly owner: string
  readonly asset_id: string
  readonly kind: string
  readonly at: Instant
}

/** See `removals.ts`. */
export interface RemovalsTable {
  readonly digest: string
  /** Grows by one when a removal begins, and by one when it is done. */
  readonly version: number
  readonly pending: Flag
  readonly at: Instant
}

/** See `once.ts`. */
export interface OnceTable {
  readonly scope: string
  readonly owner: string
  readonly key: string
  readonly fingerprint: string
  readonly answer: string
  readonly expires_at: Instant
}

/** See `edge-purges.ts`. */
export interface EdgePurgesTable {
  readonly digest: string
  readonly at: Instant
}

/** Resumable uploads: `core/upload-session.ts` says what the columns mean. */
export interface UploadSessionsTable {
  readonly id: string
  readonly owner: string
  readonly protocol: string
  readonly state: string
  readonly bytes: number
  readonly chunk_bytes: number
  readonly media_type: string
  readonly declared: string | null
  readonly details: string
  readonly tus_metadata: string | null
  readonly created_at: Instant
  readonly expires_at: Instant
  readonly asset_id: string | null
  readonly deduplicated: Flag
  readonly failure_kind: string | null
  readonly failure: string | null
  /** Of the instance that waits for the session's lock: the holder sees that it is to let go. */
  readonly claim: string | null
}

/** Acknowledged bytes of a session. */
export interface UploadPiecesTable {
  readonly session: string
  readonly first_byte: number
  readonly bytes: number
  readonly digest: string
}

/** See outbox.ts. */
export interface OutboxTable {
  readonly id: Generated<number>
  readonly kind: string
  readonly digest: string
  readonly parked: Flag
  readonly attempts: number
  readonly due_at: Instant
  readonly claim: string | null
  readonly error: string | null
  readonly created_at: Instant
}

/** See quarantine.ts. */
export interface QuarantineTable {
  readonly digest: string
  readonly reason: string
  /** JSON of what is needed to make the rows again; null where there were none. */
  readonly record: string | null
  readonly at: Instant
}

/** Where a walk that outlives a process stands: see progress.ts. */
export interface ProgressTable {
  readonly name: string
  readonly position: string
  /** JSON. */
  readonly report: string
  readonly at: Instant
}

export interface Schema {
  readonly outbox: OutboxTable
  readonly quarantine: QuarantineTable
  readonly progress: ProgressTable
  readonly upload_sessions: UploadSessionsTable
  readonly upload_pieces: UploadPiecesTable
  readonly originals: OriginalsTable
  readonly assets: AssetsTable
  readonly idempotency: IdempotencyTable
  readonly api_keys: ApiKeysTable
  readonly changes: ChangesTable
  readonly removals: RemovalsTable
  readonly once: OnceTable
  readonly edge_purges: EdgePurgesTable
}
