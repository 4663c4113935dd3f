/** Ports of what several processes share: leases, change notices, small hot values, limits. Drivers: in process, PostgreSQL, Redis. */
import { AppError } from '../core/errors.ts'
import type { Digest, VariantKey } from '../core/ids.ts'

/** Held exclusive right to a name. `token` grows with every grant of the name: a store can refuse a stale holder (fencing). */
export interface Lease extends AsyncDisposable {
  readonly token: number
  /**
   * Aborts when the right is known to be lost, such as with the connection that held it; another may then have it. It may have been
   * lost before that, so what must not happen twice needs a guard of its own as well (`metadata/removals.ts`). In process: never.
   */
  readonly lost: AbortSignal
}

/** Before each step that others must not see half of. @throws AppError `busy` when the lease is lost. */
export const assertHeld = ({ lost }: Lease): void => {
  if (lost.aborted)
    throw new AppError('busy', 'the lock was lost in the middle of the work', {
      cause: lost.reason,
      retryAfterSeconds: 1,
    })
}

export interface Locker {
  /**
   * Waits in line for the name. The wait is bounded by `signal`.
   * @throws the signal's reason when it aborts first; AppError `busy` when what keeps the leases is away.
   */
  acquire(name: string, signal: AbortSignal): Promise<Lease>
}

/** `refused`: it answered, but not that it did. `unreachable`: no answer in time, or it is known to be down. */
export type TierOutcome = 'confirmed' | 'refused' | 'unreachable'

/** Who was told of a change, beside this process's own subscribers. What is `unreachable` hears of it when it is back. */
export interface Receipt {
  /** Other instances that the notice went to, and how many of them said that they heard it. */
  readonly instances: number
  readonly confirmed: number
  /** Each tier by name: `instances`, `shared-cache`, an edge. */
  readonly tiers: Readonly<Record<string, TierOutcome>>
}

/** Nobody but this process was to be told, or there is no way to know who heard. */
export const NOBODY_ASKED: Receipt = { instances: 0, confirmed: 0, tiers: {} }

/** `added`: an asset came, and nothing was taken away, so that nobody has to forget the picture. `changed`: anything. */
export type Change = 'added' | 'changed'

/** Says that what delivery knows of a digest is no longer true (visibility, deletion, first upload). */
export interface ChangeNotices {
  /** Returns once every subscriber of this process has been told, so that the caller's answer can promise it; others are waited for within a bound. */
  publish(digest: Digest, change?: Change): Promise<Receipt>
  /** `all`: notices may have been missed, so forget everything you remember. Returns the way to unsubscribe. */
  subscribe(listener: (changed: Digest | 'all') => void): () => void
  /** False while notices of other instances may be missed: then remember nothing. */
  live(): boolean
}

/** What became of a render: other instances can find it; the picture cannot be decoded; or it failed in a way that another may not. */
export type RenderOutcome =
  | { readonly kind: 'stored' }
  | { readonly kind: 'undecodable'; readonly detail: string }
  | { readonly kind: 'failed' }

/** The right to render a key, kept up until `finish`. */
export interface RenderLease {
  /** Grows with every grant of the key, also when the shared memory was lost in between. */
  readonly token: number
  /** Ends the lease and tells who waits. Once; never throws. */
  finish(outcome: RenderOutcome): Promise<void>
}

/**
 * - `granted`: render it. `renderedBefore`: somebody has put it a moment ago, so look again first.
 * - `held`: another instance renders. `arrival` resolves with what it says, or with undefined when the lease is to be asked for
 *   again: it ran out, or nothing can be heard any more. Bounded by the lease's time.
 * - `undecodable`: another instance tried within the last minute.
 * - `alone`: nothing is shared at the moment; render it without a lease.
 */
export type RenderClaim =
  | { readonly kind: 'granted'; readonly lease: RenderLease; readonly renderedBefore: boolean }
  | { readonly kind: 'held'; readonly arrival: Promise<RenderOutcome | undefined> }
  | { readonly kind: 'undecodable'; readonly detail: string }
  | { readonly kind: 'alone' }

/** Who renders a variant, among instances. For speed only: two renders of one key give the same variant. */
export interface RenderLeases {
  /** Never throws, and answers within a bound. */
  claim(key: VariantKey): Promise<RenderClaim>
}

/** Small values that every instance can read. May forget anything at any moment; the reader checks what it gets. */
export interface SharedCache {
  /** Undefined also when the cache cannot be asked. Never throws, and answers within a bound. */
  find(key: VariantKey): Promise<Buffer<ArrayBuffer> | undefined>
  /** @returns whether others can find it now: too large, or nothing to write to, is false. Never throws. */
  put(key: VariantKey, value: readonly Uint8Array[]): Promise<boolean>
  /** Forgets every value of an original. @returns whether that is certain. Never throws. */
  removeOf(digest: Digest): Promise<boolean>
}

/** A token bucket: `capacity` at once, filled again within `fullAfterSeconds` (a whole number). */
export interface RateRule {
  readonly capacity: number
  readonly fullAfterSeconds: number
}

export interface RateVerdict {
  readonly allowed: boolean
  /** Whole tokens left, of the rule's capacity. */
  readonly remaining: number
  /** Refused: when to come back. Allowed: when the bucket is full again. Whole seconds, as `RateLimit-Reset`. */
  readonly resetSeconds: number
}

export interface RateLimits<Name extends string> {
  /** Takes `cost` tokens (a whole number, 1 or more) from the bucket of `key` under the rule `name`, or none. Never throws. */
  take(name: Name, key: string, cost: number): Promise<RateVerdict>
}
