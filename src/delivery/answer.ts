/** A finished answer for one (URL, class): headers and event row prepared once, so that a hot hit only looks up and writes. */
import type { EventTemplate } from '../analytics/recorder-port.ts'
import { CACHE_CONTROL_VALUE, cacheControl, type FlatHeaders } from './headers.ts'
import type { KnownSubject } from './subjects.ts'
import type { Held } from './tiers.ts'

export interface Answer {
  readonly etag: string
  /** The answer holds for this reading of the rows, and while memory keeps this encode of the variant. */
  readonly known: KnownSubject
  readonly held: Held
  readonly shared: boolean
  readonly hitHeaders: FlatHeaders
  readonly notModifiedHeaders: FlatHeaders
  readonly event: EventTemplate
}

/** Cache lifetime ends with the signature, so for a URL that expires it is counted anew for each answer. */
export const headersAt = (
  headers: FlatHeaders,
  answer: Pick<Answer, 'shared'>,
  expiresAt: number,
  nowSeconds: number,
): FlatHeaders => {
  if (expiresAt === Number.POSITIVE_INFINITY) return headers
  const counted = headers.slice()
  counted[CACHE_CONTROL_VALUE] = cacheControl({ shared: answer.shared, expiresAt }, nowSeconds)
  return counted
}
