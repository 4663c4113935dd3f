/** Where a device stands in its owner's changes, as text: opaque to it, stable, and refused where it cannot mean anything. */
import { createHash } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'
import { isAssetId, type OwnerId, quote } from '../core/ids.ts'
import type { ListingPosition } from '../metadata/listing.ts'

/**
 * `log`: behind the change `seq`. `snapshot`: in the middle of all live assets, which are told first where the old changes are
 * gone; `seq` was the newest change when that began, and from there it goes on.
 */
export type Position =
  | { readonly kind: 'log'; readonly seq: number }
  | { readonly kind: 'snapshot'; readonly seq: number; readonly after: ListingPosition | undefined }

/** What `since` and `Last-Event-ID` may say. `start`: everything there is. */
export type Since = { readonly kind: 'start' } | { readonly kind: 'time'; readonly at: Date } | Position

const Seq = z.int().nonnegative()
const Parts = z.union([
  z.tuple([z.string(), Seq]),
  z.tuple([z.string(), Seq, z.int(), z.union([z.literal(''), z.string().refine(isAssetId)])]),
])

/** Two owners in four billion share one: it finds mistakes. What a cursor may read is decided by the bearer, not by it. */
const tagOf = (ownerId: OwnerId): string => createHash('sha256').update(ownerId).digest('hex').slice(0, 8)

export const formatCursor = (ownerId: OwnerId, position: Position): string => {
  const start: unknown[] = [tagOf(ownerId), position.seq]
  const parts = position.kind === 'log' ? start : [...start, position.after?.value ?? 0, position.after?.id ?? '']
  return Buffer.from(JSON.stringify(parts)).toString('base64url')
}

const Instant = z.union([z.iso.datetime({ offset: true }), z.iso.date()])

/**
 * @param text a cursor, an instant in ISO 8601, or Unix milliseconds; absent, '' and 0 mean everything.
 * @throws AppError `bad-request` naming it when it is none of these, or a cursor of another owner.
 */
export const parseSince = (text: string | undefined, ownerId: OwnerId): Since => {
  if (text === undefined || /^0*$/.test(text)) return { kind: 'start' }
  if (/^\d{1,15}$/.test(text)) return { kind: 'time', at: new Date(Number(text)) }
  // A `+` that a client forgot to encode arrives as a space; no instant has one otherwise.
  const instant = Instant.safeParse(text.replace(/ (?=\d\d:\d\d$)/, '+'))
  if (instant.success) return { kind: 'time', at: new Date(instant.data) }
  return parseCursor(text, ownerId)
}

const parseCursor = (text: string, ownerId: OwnerId): Position => {
  const parts = Parts.safeParse(parseJson(Buffer.from(text, 'base64url').toString()))
  if (!parts.success)
    throw new AppError('bad-request', `since: not a cursor, an instant or Unix milliseconds: ${quote(text)}`)
  const [tag, seq, value, id] = parts.data
  if (tag !== tagOf(ownerId)) throw new AppError('bad-request', `since: a cursor of another owner: ${quote(text)}`)
  if (value === undefined || id === undefined) return { kind: 'log', seq }
  return { kind: 'snapshot', seq, after: id === '' ? undefined : { value, id } }
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
