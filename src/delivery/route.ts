/** A delivery URL, parsed once: `/i/{hash}/…` → what is asked of which original, and with what right. Nothing of a client in it. */
import { hash as oneShotHash } from 'node:crypto'
import { AppError } from '../core/errors.ts'
import { type Digest, isDigest, quote } from '../core/ids.ts'
import type { Answer } from './answer.ts'
import { ACCEPT_CH, consultedHeaders, formOf, type NegotiatedClass, type UrlForm } from './negotiate.ts'
import { assertGranted, type Policy } from './policy.ts'
import { type RawQuery, splitTarget } from './query.ts'
import { type SigningKeys, type Verdict, verifySignature } from './signature.ts'
import type { KnownSubject } from './subjects.ts'
import { type Presets, parseTransform, type Transform } from './transform.ts'

/** The right that came with the URL. */
export interface Grant {
  /** Validly signed: private assets are visible, sizes are free. */
  readonly trusted: boolean
  /** Unix seconds; Infinity where nothing expires. */
  readonly expiresAt: number
  /** Bounds that a policy signature puts on size and format. */
  readonly policy?: Policy
}

export interface VariantRoute {
  readonly kind: 'variant'
  readonly digest: Digest
  readonly grant: Grant
  readonly transform: Transform
  /** Short, and equal for routes of equal form. */
  readonly formKey: string
  /** The one class of a URL that consults no header, once it was asked for. */
  explicitClass?: NegotiatedClass
  /** Lower-case names of the request headers that negotiation reads for this form. */
  readonly consulted: readonly string[]
  /** The same as a `Vary` value; '' for an explicit URL. */
  readonly vary: string
  /** `Accept-CH` value; '' for an explicit URL. */
  readonly acceptCh: string
  /** What was known of the hash when this URL was last answered in full; its answers hold while it is current. */
  known?: KnownSubject
  /** Ready answers by class name; a bounded part of a closed set (`keepAnswer`). */
  readonly answers: Map<string, Answer>
}

export interface OriginalRoute {
  readonly kind: 'original' | 'info'
  readonly digest: Digest
  readonly grant: Grant
}

export type Route = VariantRoute | OriginalRoute

/** A URL of a page is asked for by a handful of device classes; more than these are prepared again. */
const MAX_ANSWERS = 16

/** Keeps an answer ready. Past the bound all are forgotten and the live ones come back: simpler than an order, and as rare. */
export const keepAnswer = ({ answers }: VariantRoute, className: string, answer: Answer): void => {
  if (answers.size >= MAX_ANSWERS) answers.clear()
  answers.set(className, answer)
}

export interface RouteTables {
  readonly presets: Presets
  readonly keys: SigningKeys
}

/**
 * @param target the request target as sent: path and query.
 * @throws AppError `not-found` for a path that is not one of ours, `bad-request` naming the wrong value, `forbidden` for a
 * signature that is wrong or over.
 */
export const createParseRoute =
  ({ presets, keys }: RouteTables) =>
  (target: string, nowSeconds: number): Route => {
    const { path, query } = splitTarget(target)
    const [, hash = '', lastSegment = ''] = /^\/i\/([^/]*)\/([^/]+)$/.exec(path) ?? []
    const asked = decodeSegment(lastSegment)
    if (asked === '') throw new AppError('not-found', `nothing at ${quote(path)}`)
    if (!isDigest(hash)) throw new AppError('bad-request', `not a hash (64 lower-case hex digits): ${quote(hash)}`)
    const verdict = verifySignature({ path, query, keys, nowSeconds })
    const grant = grantOf(verdict)
    if (asked === 'original' || asked === 'info.json') return wholeRoute(asked, hash, grant, query)
    const transform = parseTransform(asked, query, presets)
    if (grant.policy) assertGranted(grant.policy, { digest: hash, formatAsked: transform.formatAsked, query })
    const form = formOf(transform)
    const consulted = consultedHeaders(form)
    return {
      kind: 'variant',
      digest: hash,
      grant,
      transform,
      formKey: shortKey(form),
      consulted: consulted.map((name) => name.toLowerCase()),
      vary: consulted.join(', '),
      acceptCh: consulted.length > 0 ? ACCEPT_CH : '',
      answers: new Map(),
    }
  }

/** Clients may encode what need not be (`%40thumb.webp`, RFC 3986 §2.3). What is signed stays as it was sent. */
const decodeSegment = (segment: string): string => {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw new AppError('bad-request', `a broken percent-encoding in ${quote(segment)}`, { cause })
  }
}

/** 72 bits: keys are made per form, of which a busy origin sees hundreds. */
const shortKey = (form: UrlForm): string => oneShotHash('sha256', JSON.stringify(form), 'base64url').slice(0, 12)

const grantOf = (verdict: Verdict): Grant => {
  switch (verdict.kind) {
    case 'unsigned':
      return { trusted: false, expiresAt: Number.POSITIVE_INFINITY }
    case 'signed':
      return { trusted: true, expiresAt: verdict.exp }
    case 'policy':
      return { trusted: true, expiresAt: verdict.exp, policy: verdict.policy }
    default:
      return verdict satisfies never
  }
}

const wholeRoute = (asked: 'original' | 'info.json', digest: Digest, grant: Grant, query: RawQuery): OriginalRoute => {
  const [option] = query.options
  if (option) throw new AppError('bad-request', `${asked} takes no option; got ${quote(option.name)}`)
  // A policy grants sizes of the picture; the uploaded file, with its metadata, needs a signature of its own.
  if (grant.policy) throw new AppError('forbidden', `a policy does not grant ${asked}`)
  return { kind: asked === 'original' ? 'original' : 'info', digest, grant }
}
