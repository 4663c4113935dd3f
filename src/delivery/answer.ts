/** A finished answer for one (URL, class): heads and event row prepared once, so that a hot hit only looks up and writes. */
import type { EventTemplate } from '../analytics/recorder-port.ts'
import { type FlatHeaders, type Freshness, lifetimeHeaders } from './headers.ts'
import type { ReadyHead } from './ready-head.ts'
import type { KnownSubject } from './subjects.ts'
import type { Held } from './tiers.ts'

export interface Answer {
  readonly etag: string
  /** The answer holds for this reading of the rows, and while memory keeps this encode of the variant. */
  readonly known: KnownSubject
  readonly held: Held
  readonly freshness: Freshness
  readonly hit: ReadyHead
  readonly notModified: ReadyHead
  readonly event: EventTemplate
}

/** Cache lifetime ends with the signature, so for a URL that expires it is counted anew for each answer, and is in no ready head. */
export const countedAnew = ({ freshness }: Pick<Answer, 'freshness'>, nowSeconds: number): FlatHeaders =>
  neverEnds(freshness) ? NONE : lifetimeHeaders(freshness, nowSeconds)

/** The other half of the same: what a ready head says of it. */
export const countedOnce = (freshness: Freshness): FlatHeaders =>
  neverEnds(freshness) ? lifetimeHeaders(freshness, 0) : NONE

const neverEnds = ({ expiresAt }: Freshness): boolean => expiresAt === Number.POSITIVE_INFINITY

const NONE: FlatHeaders = []
