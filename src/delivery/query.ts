/** A delivery URL's query as it was sent: parsed once, bounded, in order, with what is signature told from what is option. */
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** One `name=value`. Names are taken literally (ours need no encoding), values as sent and decoded. */
export interface RawPair {
  /** The pair as sent, without the `&`. */
  readonly text: string
  readonly name: string
  readonly rawValue: string
  /** Form-decoded: `%2C` and `+` resolved. */
  readonly value: string
}

export interface RawQuery {
  /** Every pair, in the order sent: what a signature covers. */
  readonly pairs: readonly RawPair[]
  /** The pairs that ask for a transform: all but the signature's. */
  readonly options: readonly RawPair[]
  readonly signature: Readonly<Partial<Record<SignatureName, RawPair>>>
}

const SIGNATURE_NAMES = ['exp', 'kid', 'pol', 'sig'] as const
type SignatureName = (typeof SIGNATURE_NAMES)[number]

/** Path and query together. The longest URL with every option, a policy and a signature is under 900 characters. */
export const MAX_URL_CHARS = 2048
/** We have 13 options and 4 signature parameters; 32 leaves room to name an unknown one instead of refusing the number. */
const MAX_PAIRS = 32

const isSignatureName = (name: string): name is SignatureName => SIGNATURE_NAMES.some((known) => known === name)

/**
 * @param raw the text after `?`; empty pairs (`a=1&&b=2`, a trailing `&`) are passed over, as form decoders do.
 * @throws AppError `bad-request` when too long, too many, sent twice, or not decodable, naming the parameter.
 */
export const parseQuery = (raw: string): RawQuery => {
  if (raw.length > MAX_URL_CHARS)
    throw new AppError('bad-request', `a query of ${raw.length} characters; ${MAX_URL_CHARS} at most`)
  const texts = raw.split('&').filter((text) => text !== '')
  if (texts.length > MAX_PAIRS) throw new AppError('bad-request', `${texts.length} parameters; ${MAX_PAIRS} at most`)
  const pairs = texts.map(parsePair)
  const signature: Partial<Record<SignatureName, RawPair>> = {}
  const seen = new Set<string>()
  for (const pair of pairs) {
    if (seen.has(pair.name)) throw new AppError('bad-request', `the parameter ${quote(pair.name)} was sent twice`)
    seen.add(pair.name)
    if (isSignatureName(pair.name)) signature[pair.name] = pair
  }
  return { pairs, options: pairs.filter(({ name }) => !isSignatureName(name)), signature }
}

const parsePair = (text: string): RawPair => {
  const equals = text.indexOf('=')
  const name = equals < 0 ? text : text.slice(0, equals)
  const rawValue = equals < 0 ? '' : text.slice(equals + 1)
  return { text, name, rawValue, value: decode(name, rawValue) }
}

const decode = (name: string, rawValue: string): string => {
  if (!rawValue.includes('%') && !rawValue.includes('+')) return rawValue
  try {
    return decodeURIComponent(rawValue.replaceAll('+', ' '))
  } catch (cause) {
    throw new AppError('bad-request', `${quote(name)} has a broken percent-encoding: ${quote(rawValue)}`, { cause })
  }
}

/**
 * Splits a request target into path and query.
 * @throws AppError `bad-request` over `MAX_URL_CHARS`, and as `parseQuery` does.
 */
export const splitTarget = (target: string): { readonly path: string; readonly query: RawQuery } => {
  if (target.length > MAX_URL_CHARS)
    throw new AppError('bad-request', `a URL of ${target.length} characters; ${MAX_URL_CHARS} at most`)
  const mark = target.indexOf('?')
  return mark < 0
    ? { path: target, query: parseQuery('') }
    : { path: target.slice(0, mark), query: parseQuery(target.slice(mark + 1)) }
}
