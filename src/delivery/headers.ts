/**
 * Response headers from a decision, never from control flow. Flat `[name, value, name, value…]` arrays, as
 * `ServerResponse.writeHead` takes them without another copy (measured: peers-baseline, "headers as one array").
 */
import { hash } from 'node:crypto'
import { AppError } from '../core/errors.ts'
import { type Digest, quote, type VariantKey } from '../core/ids.ts'
import { MEDIA_TYPE } from '../core/image.ts'
import type { Variant } from '../core/variant.ts'

export type FlatHeaders = readonly string[]

/** On every image answer, errors too: any page may embed, time and read what is public anyway. */
const OPEN: FlatHeaders = [
  'X-Content-Type-Options',
  'nosniff',
  'Cross-Origin-Resource-Policy',
  'cross-origin',
  'Timing-Allow-Origin',
  '*',
  'Access-Control-Allow-Origin',
  '*',
]

/** Nothing an original contains may run, load or frame anything, also when a browser opens an SVG at its own address. */
const SANDBOX: FlatHeaders = [
  'Content-Security-Policy',
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
]

/** A year: the longest that caches honour (RFC 9111 advises no more); the URL names the content, so it never changes. */
const YEAR_SECONDS = 365 * 24 * 60 * 60

/**
 * How long a CDN takes a public answer for fresh, in seconds: a day. The bytes never change, but what may be shown does: a purge
 * that got lost heals when the CDN asks again, which costs a 304.
 */
export const EDGE_FRESH_SECONDS = 24 * 60 * 60

export interface Freshness {
  /** Whether shared caches may keep it: private assets are for the holder of the signed URL only. */
  readonly shared: boolean
  /** Unix seconds after which the URL's own signature ends; Infinity where it has none. */
  readonly expiresAt: number
}

/**
 * RFC 9111 §5.2.2, RFC 8246. No cache keeps an answer longer than its signature lives, and a CDN none of those longer than a day:
 * `cdnHeaders` cannot say that of them, as theirs would have to be another with each second.
 */
export const cacheControl = ({ shared, expiresAt }: Freshness, nowSeconds: number): string => {
  const seconds = Math.max(0, Math.min(YEAR_SECONDS, Math.floor(expiresAt - nowSeconds)))
  const atEdge = shared && Number.isFinite(expiresAt) && seconds > EDGE_FRESH_SECONDS
  return `${shared ? 'public' : 'private'}, max-age=${seconds}, ${atEdge ? `s-maxage=${EDGE_FRESH_SECONDS}, ` : ''}immutable`
}

/** RFC 5861, in seconds: a CDN may answer stale for a day while it asks again, and for a week while no origin answers. */
const EDGE_REVALIDATE_SECONDS = 24 * 60 * 60
const EDGE_IF_ERROR_SECONDS = 7 * 24 * 60 * 60

/**
 * RFC 9213: what CDNs are told beside `Cache-Control`, whose words are for browsers. Only of what is public for as long as it
 * exists: elsewhere `Cache-Control` says it all, and nothing is served past a signature.
 */
const cdnHeaders = ({ shared, expiresAt }: Freshness): FlatHeaders =>
  shared && expiresAt === Number.POSITIVE_INFINITY
    ? [
        'CDN-Cache-Control',
        `public, max-age=${EDGE_FRESH_SECONDS}, stale-while-revalidate=${EDGE_REVALIDATE_SECONDS}, stale-if-error=${EDGE_IF_ERROR_SECONDS}`,
      ]
    : []

/**
 * The name to purge a picture by, in the words of RFC 9875, of Cloudflare and others, and of Fastly and Varnish: its hash, whoever
 * owns it. Private answers are in no shared cache.
 */
const tagHeaders = (digest: Digest, shared: boolean): FlatHeaders =>
  shared ? ['Cache-Groups', `"${digest}"`, 'Cache-Tag', digest, 'Surrogate-Key', digest] : []

/**
 * A strong validator made from what the bytes are made from, so that a 304 needs neither pixels nor bytes. The key holds the
 * recipe and the whole plan; `generation` tells a later, better encode from the first. 132 bits of SHA-256 in 22 characters.
 */
export const variantEtag = (key: VariantKey, generation: number): string =>
  `"${hash('sha256', key, 'base64url').slice(0, 22)}.${generation}"`

/** Whether `If-Match` may mean an encode of this variant; which one there is only its bytes tell. */
export const mayNameVariant = (ifMatch: string, key: VariantKey): boolean =>
  ifMatch.trim() === '*' || ifMatch.includes(variantEtag(key, 0).slice(0, -'0"'.length))

export const originalEtag = (digest: Digest): string => `"${digest}"`

/** RFC 9110 §13.1.2 against a representation that exists: weak comparison against a list, or `*` for whatever is there. */
export const matchesEtag = (ifNoneMatch: string, etag: string): boolean =>
  namesEtag(ifNoneMatch, etag) || ifNoneMatch.trim() === '*'

/** The same without `*`, for a representation that may never have been made. */
export const namesEtag = (ifNoneMatch: string, etag: string): boolean =>
  ifNoneMatch === etag || ifNoneMatch.split(',').some((candidate) => candidate.trim().replace(/^W\//, '') === etag)

/**
 * RFC 9110 §13.1.1: who already has a part, or an opinion, of other bytes is not sent these. Strong comparison.
 * @throws AppError `precondition-failed` naming both.
 */
export const requireMatch = (ifMatch: string | undefined, etag: string): void => {
  if (ifMatch === undefined || ifMatch.trim() === '*') return
  if (ifMatch.split(',').every((candidate) => candidate.trim() !== etag))
    throw new AppError('precondition-failed', `If-Match names ${quote(ifMatch)}, and this is ${etag}`)
}

/** `cacheControl` as a header: the one that depends on the time of the request, where a signature ends. */
export const lifetimeHeaders = (freshness: Freshness, nowSeconds: number): FlatHeaders => [
  'Cache-Control',
  cacheControl(freshness, nowSeconds),
]

export interface Validators {
  readonly freshness: Freshness
  readonly etag: string
  /** Names of the request headers that this URL form consults, or ''. */
  readonly vary: string
  readonly className: string
}

/** Headers that 200 and 304 share (RFC 9110 §15.4.5), beside `lifetimeHeaders`. */
export const validatorHeaders = (v: Validators): FlatHeaders => [
  'ETag',
  v.etag,
  ...(v.vary ? ['Vary', v.vary] : []),
  'X-Variant-Class',
  v.className,
  ...cdnHeaders(v.freshness),
  ...OPEN,
]

/** What a variant's 200 adds. `acceptCh` is '' for a fully explicit URL, which has no use for hints. */
export const variantHeaders = (variant: Variant, acceptCh: string, digest: Digest, shared: boolean): FlatHeaders => [
  'Content-Type',
  MEDIA_TYPE[variant.facts.format],
  'Content-Length',
  String(variant.bytes.byteLength),
  'Repr-Digest',
  `sha-256=:${variant.facts.sha256}:`,
  ...(acceptCh ? ['Accept-CH', acceptCh] : []),
  ...tagHeaders(digest, shared),
]

/** What CDNs are told of an original and of its facts; the facts keep their own, shorter time. */
export const wholeHeaders = (digest: Digest, freshness: Freshness, kind: 'original' | 'info'): FlatHeaders => [
  ...(kind === 'original' ? cdnHeaders(freshness) : []),
  ...tagHeaders(digest, freshness.shared),
]

/** What an original's answer adds, before the range is known. */
export const originalHeaders = (digest: Digest, mediaType: string): FlatHeaders => [
  'Content-Type',
  mediaType,
  'Accept-Ranges',
  'bytes',
  'Repr-Digest',
  `sha-256=:${Buffer.from(digest, 'hex').toString('base64')}:`,
  ...SANDBOX,
]

export const openHeaders = (): FlatHeaders => OPEN
