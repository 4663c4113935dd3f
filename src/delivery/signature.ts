/**
 * Signed URLs, CONTRACT §2: an HMAC over the path and every other parameter, as sent. Pure: keys and time are given.
 *
 * Two kinds of text are signed with the same keys, and neither can be passed off as the other: a URL's text begins with `/`,
 * a policy is base64url (RFC 4648 §5), whose alphabet has no `/`.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { type Policy, parsePolicy } from './policy.ts'
import { parseQuery, type RawPair, type RawQuery } from './query.ts'

export type { Policy } from './policy.ts'

/** Live keys by id. A key being rotated in or out is simply here too. */
export type SigningKeys = ReadonlyMap<string, KeyObject>

/** 128 bits: RFC 2104 §3 discourages HMAC keys shorter than the hash's strength wants; this is the least that cannot be searched. */
const MIN_KEY_BYTES = 16
const KEY_ID = /^[A-Za-z0-9_.-]{1,32}$/

/**
 * @param entries key ids and secrets (text counts as UTF-8 bytes), the one that signs first.
 * @throws AppError `internal` naming the key that is too short, or whose id is malformed or double; never the secret.
 */
export const createSigningKeys = (
  entries: Iterable<{ readonly kid: string; readonly secret: string | Uint8Array }>,
): SigningKeys => {
  const keys = new Map<string, KeyObject>()
  for (const { kid, secret } of entries) {
    const bytes = typeof secret === 'string' ? Buffer.from(secret) : Buffer.from(secret)
    if (!KEY_ID.test(kid) || keys.has(kid))
      throw new AppError('internal', `malformed or double id of a signing key: ${quote(kid)}`)
    if (bytes.length < MIN_KEY_BYTES)
      throw new AppError('internal', `signing key ${kid} has ${bytes.length} bytes; ${MIN_KEY_BYTES} at least`)
    keys.set(kid, createSecretKey(bytes))
  }
  return keys
}

/** What a URL proves of itself. `exp` in Unix seconds; Infinity for a signature without `exp`. `kid`: the key that made it. */
export type Verdict =
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'signed'; readonly kid: string; readonly exp: number }
  | { readonly kind: 'policy'; readonly kid: string; readonly exp: number; readonly policy: Policy }

const hmac = (key: KeyObject, text: string): string => createHmac('sha256', key).update(text).digest('base64url')

const byNameThenValue = (a: RawPair, b: RawPair): number => compare(a.name, b.name) || compare(a.rawValue, b.rawValue)
/** By UTF-16 code units, which for a URL are its bytes; never by locale. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** The text that is signed: `path?a=1&b=2`, every pair but `sig`, sorted, each as sent. */
const signedText = (path: string, pairs: readonly RawPair[]): string =>
  `${path}?${pairs
    .filter(({ name }) => name !== 'sig')
    .toSorted(byNameThenValue)
    .map(({ text }) => text)
    .join('&')}`

/**
 * @param path as in the request target, from `/i/`, percent-encoding untouched.
 * @param pairs the query as sent, in any order; a `sig` among them is passed over.
 * @returns the value of `sig`: 43 characters of base64url.
 */
export const signPath = (path: string, pairs: readonly RawPair[], key: KeyObject): string =>
  hmac(key, signedText(path, pairs))

/** Both texts are as long as a digest before they are compared, so that time tells nothing but the length sent. */
const equalText = (a: string, b: string): boolean => {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

/**
 * Judges the signature only; a policy's grant is held against the request by `assertGranted` and `assertWidthGranted`.
 * - A URL with none of `sig`, `pol`, `exp`, `kid` is unsigned. One with some of them but no `sig` has lost it: refused.
 * - Without `kid` every live key is tried: the signature binds as much, and there are few keys.
 * - Without `exp` a path signature never expires; a policy always does. `exp` itself is already too late (as in RFC 7519 §4.1.4).
 * @throws AppError `forbidden` when wrong, expired, incomplete or made with a key that is not live; `bad-request` for a policy
 * that is genuine but malformed.
 */
export const verifySignature = (request: {
  readonly path: string
  readonly query: RawQuery
  readonly keys: SigningKeys
  readonly nowSeconds: number
}): Verdict => {
  const { sig, pol, kid, exp } = request.query.signature
  if (!sig) {
    const stray = pol ?? kid ?? exp
    if (stray) throw new AppError('forbidden', `${stray.name} without a signature`)
    return { kind: 'unsigned' }
  }
  if (pol) return verifyPolicy(pol.value, sig.value, kid?.value, exp?.value, request)
  const text = signedText(request.path, request.query.pairs)
  const signer = findSigner(text, sig.value, kid?.value, request.keys)
  return { kind: 'signed', kid: signer, exp: checkExpiry(exp?.value, request.nowSeconds) }
}

const verifyPolicy = (
  pol: string,
  sig: string,
  kid: string | undefined,
  exp: string | undefined,
  { keys, nowSeconds }: { readonly keys: SigningKeys; readonly nowSeconds: number },
): Verdict => {
  const signer = findSigner(pol, sig, kid, keys)
  const policy = parsePolicy(pol)
  if (policy.kid !== undefined && policy.kid !== signer)
    throw new AppError('forbidden', `the policy names another key than ${signer}`)
  // An `exp` beside a policy is not signed: it may only agree.
  if (exp !== undefined && exp !== String(policy.exp))
    throw new AppError('forbidden', `exp ${quote(exp)} is not the policy's`)
  return { kind: 'policy', kid: signer, exp: checkExpiry(String(policy.exp), nowSeconds), policy }
}

/** @returns the id of the live key that made `sig`. */
const findSigner = (text: string, sig: string, kid: string | undefined, keys: SigningKeys): string => {
  const named = kid === undefined ? undefined : keys.get(kid)
  if (kid !== undefined && !named) throw new AppError('forbidden', `no signing key ${quote(kid)}`)
  const candidates: Iterable<readonly [string, KeyObject]> = kid !== undefined && named ? [[kid, named]] : keys
  for (const [id, key] of candidates) if (equalText(hmac(key, text), sig)) return id
  throw new AppError('forbidden', 'the signature does not match this URL')
}

const checkExpiry = (exp: string | undefined, nowSeconds: number): number => {
  if (exp === undefined) return Number.POSITIVE_INFINITY
  if (!/^\d{1,12}$/.test(exp)) throw new AppError('forbidden', `exp must be a Unix time in seconds, not ${quote(exp)}`)
  if (Number(exp) <= nowSeconds) throw new AppError('forbidden', `the signature expired at ${exp}`)
  return Number(exp)
}

/** One parameter, form-encoded; commas stay readable, as RFC 3986 §3.4 allows them in a query. */
const encodePair = ([name, value]: readonly [string, string]): string =>
  `${name}=${encodeURIComponent(value).replaceAll('%2C', ',')}`

/**
 * A signed URL to hand out.
 * @param path from `/i/`, without query. @param params options, not encoded yet. @param expSeconds Unix time at which it ends.
 */
export const mintUrl = (grant: {
  readonly path: string
  readonly params?: Readonly<Record<string, string>>
  readonly kid: string
  readonly key: KeyObject
  readonly expSeconds: number
}): string => {
  const params = { ...grant.params, exp: String(Math.floor(grant.expSeconds)), kid: grant.kid }
  const query = Object.entries(params).map(encodePair).join('&')
  return `${grant.path}?${query}&sig=${signPath(grant.path, parseQuery(query).pairs, grant.key)}`
}

/** The parameters that carry a policy: to be appended to every URL that it grants. */
export const mintPolicy = (grant: {
  readonly policy: Policy
  readonly kid: string
  readonly key: KeyObject
}): string => {
  const pol = Buffer.from(JSON.stringify(grant.policy)).toString('base64url')
  return `kid=${grant.kid}&pol=${pol}&sig=${hmac(grant.key, pol)}`
}
