/** `GET|HEAD /i/{hash}/original` and `/info.json`: the bytes as they were uploaded, whole or a range; and their public facts. */
import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { OriginalStore } from '../blobs/store.ts'
import { MEDIA_TYPE } from '../core/image.ts'
import type { Admitted } from './admission.ts'
import { BYPASS_CACHE_STATUS, totalTiming } from './cache-status.ts'
import type { HeaderReader } from './deliver.ts'
import {
  cacheControl,
  type FlatHeaders,
  type Freshness,
  matchesEtag,
  openHeaders,
  originalEtag,
  originalHeaders,
  requireMatch,
  wholeHeaders,
} from './headers.ts'
import { parseRange } from './range.ts'
import { assertSound } from './sound.ts'

export interface Sent {
  readonly status: number
  readonly bytes: number
}

export interface Exchange {
  readonly method: string
  readonly header: HeaderReader
  readonly response: ServerResponse
  readonly freshness: Freshness
  readonly nowSeconds: number
  /** On `performance.now`'s clock. */
  readonly startedAt: number
  readonly signal: AbortSignal
  /** Told before the first byte what is being sent. */
  readonly sending: (sent: Sent) => void
}

/** Facts change with visibility, never with time; an hour keeps caches from telling of a deleted image for long. */
const INFO_MAX_AGE_SECONDS = 3_600

const validators = (etag: string, control: string, cacheStatus: string, startedAt: number): FlatHeaders => [
  'Cache-Control',
  control,
  'ETag',
  etag,
  'Cache-Status',
  cacheStatus,
  'Server-Timing',
  totalTiming(performance.now() - startedAt),
  ...openHeaders(),
]

/**
 * Judges the preconditions (RFC 9110 §13.2.2) of what has this tag. @returns true where 304 was the answer.
 * @throws AppError `precondition-failed`.
 */
const answeredUnread = ({ header, response, sending }: Exchange, etag: string, shared: FlatHeaders): boolean => {
  requireMatch(header('if-match'), etag)
  const ifNoneMatch = header('if-none-match')
  if (ifNoneMatch === undefined || !matchesEtag(ifNoneMatch, etag)) return false
  sending({ status: 304, bytes: 0 })
  response.writeHead(304, [...shared]).end()
  return true
}

/** Streams the original. @throws AppError `precondition-failed`, `range`, before anything was written. */
export const sendOriginal = async (
  originals: Pick<OriginalStore, 'read'>,
  subject: Admitted,
  exchange: Exchange,
): Promise<void> => {
  const { method, header, response, signal, sending } = exchange
  const etag = originalEtag(subject.digest)
  const control = cacheControl(exchange.freshness, exchange.nowSeconds)
  const shared = [
    ...validators(etag, control, 'oriel-store; hit', exchange.startedAt),
    ...wholeHeaders(subject.digest, exchange.freshness, 'original'),
  ]
  if (answeredUnread(exchange, etag, shared)) return
  // RFC 9110 §14.2: Range is defined for GET only.
  const range = method === 'GET' ? parseRange(header('range'), header('if-range'), etag, subject.bytes) : undefined
  const length = range ? range.end - range.start + 1 : subject.bytes
  const status = range ? 206 : 200
  const headers = [
    ...shared,
    ...originalHeaders(subject.digest, MEDIA_TYPE[subject.facts.format]),
    'Content-Length',
    String(length),
    ...(range ? ['Content-Range', `bytes ${range.start}-${range.end}/${subject.bytes}`] : []),
  ]
  if (method === 'HEAD') {
    sending({ status: 200, bytes: 0 })
    response.writeHead(200, headers).end()
    return
  }
  assertSound(subject)
  const body = await originals.read(subject.digest, range, signal)
  sending({ status, bytes: length })
  response.writeHead(status, headers)
  await pipeline(body, response, { signal })
}

/** Public facts only: nothing an owner wrote, no name, no place. @throws AppError `precondition-failed`. */
export const sendInfo = (subject: Admitted, exchange: Exchange): void => {
  const { method, response, freshness, sending } = exchange
  const etag = `"info-${subject.digest.slice(0, 32)}"`
  const seconds = Math.floor(Math.max(0, Math.min(INFO_MAX_AGE_SECONDS, freshness.expiresAt - exchange.nowSeconds)))
  const control = `${freshness.shared ? 'public' : 'private'}, max-age=${seconds}`
  const shared = [
    ...validators(etag, control, BYPASS_CACHE_STATUS, exchange.startedAt),
    ...wholeHeaders(subject.digest, freshness, 'info'),
  ]
  if (answeredUnread(exchange, etag, shared)) return
  const { facts } = subject
  const body = Buffer.from(
    JSON.stringify({
      hash: subject.digest,
      width: facts.width,
      height: facts.height,
      format: facts.format,
      media_type: MEDIA_TYPE[facts.format],
      bytes: subject.bytes,
      pages: facts.pages,
      animated: facts.animated,
      has_alpha: facts.hasAlpha,
      aspect_ratio: Number((facts.width / facts.height).toFixed(4)),
    }),
  )
  sending({ status: 200, bytes: method === 'HEAD' ? 0 : body.byteLength })
  response.writeHead(200, [
    ...shared,
    'Content-Type',
    'application/json',
    'Content-Length',
    String(body.byteLength),
    'Repr-Digest',
    `sha-256=:${createHash('sha256').update(body).digest('base64')}:`,
  ])
  response.end(method === 'HEAD' ? undefined : body)
}
