/** One line of an edge's log (`log_format oriel_events` of nginx/edge.conf) → one delivery event. Pure. */
import { z } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'
import type { EventOccurrence, EventSubject } from '../core/event.ts'
import { isDigest, quote } from '../core/ids.ts'

export interface EdgeEvent {
  /** Unix milliseconds, as the edge saw it. */
  readonly at: number
  readonly subject: EventSubject
  readonly occurrence: EventOccurrence
}

const DAY_MS = 24 * 60 * 60 * 1000
/** As long as the engine keeps events by default; also what bounds the monthly partitions that one insert touches. */
const OLDEST_MS = 400 * DAY_MS
/** Clocks differ, and a log may be of another day's zone. */
const NEWEST_MS = DAY_MS

/** Longest text that is looked at; what is kept is cut again by its own rule. */
const text = z
  .string()
  .transform((value) => value.slice(0, 2048))
  .default('')

const Line = z.object({
  time: z.iso.datetime({ offset: true }),
  status: z.int().min(100).max(599),
  bytes_sent: z.int().nonnegative().default(0),
  /** Until the last byte was sent. */
  seconds: z.number().nonnegative().max(86_400).default(0),
  hash: z.string().max(64).default(''),
  path: text,
  class: text,
  content_type: text,
  user_agent: text,
  referrer: text,
  client: text,
  country: text,
})

/** @throws AppError `bad-request` saying what is wrong with it. */
export const parseEdgeLine = (line: string, now: number): EdgeEvent => {
  const parsed = Line.safeParse(parseJson(line))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new AppError('bad-request', `${issue?.path.map(String).join('.') || 'line'}: ${issue?.message}`)
  }
  const fields = parsed.data
  const at = Date.parse(fields.time)
  if (at < now - OLDEST_MS || at > now + NEWEST_MS)
    throw new AppError('bad-request', `time: ${quote(fields.time)} is over 400 days ago, or in the future`)
  const path = parsePath(fields.path)
  const hash = fields.hash || path.hash
  if (!isDigest(hash))
    throw new AppError('bad-request', `hash: neither it nor the path ${quote(fields.path)} names an image`)
  return {
    at,
    subject: {
      hash,
      // The edge does not know whose it is, nor what came out; `bytes_original` and the size served are of our own events.
      owner: '',
      askedWidth: path.width,
      askedHeight: path.height,
      servedWidth: 0,
      servedHeight: 0,
      formatAsked: path.format,
      formatServed: servedFormat(fields.content_type),
      variantClass: fields.class,
      dpr: Number(/-d([\d.]{1,5})(?:-|$)/.exec(fields.class)?.[1] ?? 1),
      slowNetwork: /-slow(?:-|$)/.test(fields.class),
      originalBytes: 0,
    },
    occurrence: {
      tier: 'edge',
      status: fields.status,
      bytesSent: fields.bytes_sent,
      queueMs: 0,
      renderMs: 0,
      totalMs: fields.seconds * 1000,
      userAgent: fields.user_agent,
      referrer: fields.referrer,
      country: fields.country,
      clientAddress: fields.client,
    },
  }
}

const parseJson = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    throw new AppError('bad-request', 'line: not JSON')
  }
}

interface AskedFor {
  readonly hash: string
  readonly width: number
  readonly height: number
  readonly format: EventSubject['formatAsked']
}

const FORMATS: Readonly<Record<string, EventSubject['formatAsked']>> = {
  avif: 'avif',
  webp: 'webp',
  jpg: 'jpeg',
  jpeg: 'jpeg',
  png: 'png',
  gif: 'gif',
  auto: 'auto',
}

/** What CONTRACT §1 says of a path, as far as a column asks for it; an odd tail leaves its columns empty. */
const parsePath = (path: string): AskedFor => {
  const [, hash = '', tail = ''] = /^\/i\/([0-9a-f]{64})\/([^/?]{1,200})$/.exec(path) ?? []
  if (tail === 'original') return { hash, width: 0, height: 0, format: 'original' }
  if (tail === 'info.json') return { hash, width: 0, height: 0, format: 'info' }
  const [, width, height, suffix = ''] = /^(?:(?:(\d{1,4})|auto)?x(\d{1,4})?|@[^.]+)\.([a-z]+)$/.exec(tail) ?? []
  return { hash, width: Number(width ?? 0), height: Number(height ?? 0), format: FORMATS[suffix] ?? '' }
}

/** As our own events call it: `image/svg+xml` is `svg`. */
const servedFormat = (type: string): string => /^image\/([a-z]{3,5})(?:\+xml)?(?:;|$)/.exec(type)?.[1] ?? ''
