/** A finished answer for one (URL, class): headers and event row prepared once, so that a hot hit only looks up and writes. */
import type { EventTemplate } from '../analytics/recorder-port.ts'
import type { VariantKey } from '../core/ids.ts'
import type { VariantFacts } from '../core/variant.ts'
import { CACHE_CONTROL_VALUE, cacheControl, type FlatHeaders } from './headers.ts'
import type { KnownSubject } from './subjects.ts'

export interface Answer {
  readonly key: VariantKey
  readonly etag: string
  /** The answer holds for this reading of the rows and this encode of the variant; with another it is built again. */
  readonly known: KnownSubject
  readonly generation: number
  readonly shared: boolean
  readonly hitHeaders: FlatHeaders
  readonly notModifiedHeaders: FlatHeaders
  readonly event: EventTemplate
}

export const isCurrent = (answer: Answer, known: KnownSubject, facts: VariantFacts): boolean =>
  answer.known === known && known.current && answer.generation === facts.generation

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
