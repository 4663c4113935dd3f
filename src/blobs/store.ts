/** Ports of the bytes: originals by digest, variants by key. Drivers: `disk-*.ts` and `s3-*.ts`. */
import type { Readable } from 'node:stream'
import type { FileEnds } from '../core/file-ends.ts'
import type { Digest, VariantKey } from '../core/ids.ts'
import type { Variant } from '../core/variant.ts'

/** Bytes received but not yet part of the store. Unreachable for readers until `publish`. */
export interface Staged extends AsyncDisposable {
  readonly digest: Digest
  readonly bytes: number
  /** Path of a local file with the bytes, for the prober: made when it is asked for. Valid until published or disposed. */
  file(): Promise<string>
  /** Its first and last bytes, where the store kept them in memory while they passed; valid as long. */
  readonly ends?: FileEnds
  /** Moves the bytes under their digest; durable when it resolves (file and folder synced, or the object stored). Publishing what exists is success. */
  publish(): Promise<void>
  /** Removes what was staged and not published. After `publish` it only cleans up. Never throws. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Inclusive byte positions, both within the original. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface OriginalStore {
  /**
   * Receives a stream: bounded by `maxBytes`, hashed, kept in memory or in a temporary file.
   * @throws AppError `too-large` past `maxBytes`, `busy` when the disk is full; nothing is left behind.
   */
  stage(source: AsyncIterable<Uint8Array>, maxBytes: number, signal: AbortSignal): Promise<Staged>
  /** Size in bytes, or undefined when absent. */
  size(digest: Digest): Promise<number | undefined>
  /** A local file with the original's bytes for a renderer; on a remote store a temporary copy, gone when disposed.
   *  @throws AppError `internal` when the bytes are missing. */
  open(digest: Digest, signal: AbortSignal): Promise<LocalFile>
  /** @throws AppError `internal` when the bytes are missing. The caller has checked `range` against the size. */
  read(digest: Digest, range: ByteRange | undefined, signal: AbortSignal): Promise<Readable>
  /** Removing what is absent is no error. The caller holds the digest's lock and has checked that nothing refers to it. */
  remove(digest: Digest): Promise<void>
}

/** One stored original as a listing shows it. */
export interface StoredOriginal {
  readonly digest: Digest
  readonly bytes: number
  readonly storedAt: Date
}

export interface OriginalLister {
  /**
   * Every original in the store, in the order of their digests. What comes or goes meanwhile may be seen or missed. Memory for one
   * page, or for the names in one of a disk's 256 folders.
   */
  list(): AsyncIterable<StoredOriginal>
}

/** Where a store that has a colder class of storage keeps an original. `other`: in a class that somebody else chose; nobody here moves it. */
export type StorageTier = 'standard' | 'cold' | 'other'

export interface TieredOriginal extends StoredOriginal {
  readonly tier: StorageTier
}

export interface TieredOriginals {
  /** As `OriginalLister.list`. */
  tiers(): AsyncIterable<TieredOriginal>
  /**
   * Moves an original between the two classes where it lies: it can be read all the while. Answers false where there is none of that
   * size in the other class. The caller holds the digest's lock. A store that was told and not waited for may do it later, when the
   * original has been removed: it is then there again (docs/PROTOCOL.md). @throws AppError `busy`, `internal`; the signal's reason.
   */
  move(digest: Digest, bytes: number, to: Exclude<StorageTier, 'other'>, signal: AbortSignal): Promise<boolean>
}

export interface LocalFile extends AsyncDisposable {
  readonly path: string
}

export interface VariantStore {
  /** The variant whole and checked against its SHA-256, or undefined: absent, cut short and rotten are all a miss. */
  find(key: VariantKey): Promise<Variant | undefined>
  /** Stores a variant; whole or absent after a crash. May evict others to stay in the byte budget. */
  put(key: VariantKey, variant: Variant): Promise<void>
  /** Notes a use, so that eviction by last use sees hits that a nearer tier answered. May be lost. Cheap: how often one is written down is decided here. */
  touch(key: VariantKey): void
  /** Removes every variant of an original; returns how many. */
  removeOf(digest: Digest): Promise<number>
}

export interface VariantLister {
  /** Every digest that has variants, some more than once. What comes or goes meanwhile may be seen or missed. Constant memory. */
  digests(): AsyncIterable<Digest>
}
