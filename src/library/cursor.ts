/** Where a page ended, as opaque text. It names its order, so that it cannot be taken on in another by mistake. */
import { z } from 'zod'
import { AppError } from '../core/errors.ts'
import { isAssetId, quote } from '../core/ids.ts'
import { type ListingPosition, SORT_FIELDS, type SortField } from '../metadata/listing.ts'

export interface ListingOrder {
  readonly sort: SortField
  readonly descending: boolean
}

const Parts = z.tuple([
  z.enum(SORT_FIELDS),
  z.boolean(),
  z.union([z.string().max(255), z.int()]),
  z.string().refine(isAssetId),
])

export const formatCursor = ({ sort, descending }: ListingOrder, { value, id }: ListingPosition): string =>
  Buffer.from(JSON.stringify([sort, descending, value, id])).toString('base64url')

/** @throws AppError `bad-request` for text that is no cursor of this order. */
export const parseCursor = (text: string, order: ListingOrder): ListingPosition => {
  const parts = Parts.safeParse(parseJson(Buffer.from(text, 'base64url').toString()))
  if (!parts.success) throw new AppError('bad-request', `not a cursor: ${quote(text)}`)
  const [sort, descending, value, id] = parts.data
  if (sort !== order.sort || descending !== order.descending)
    throw new AppError('bad-request', `this cursor goes on in ${sort} ${descending ? 'desc' : 'asc'}`)
  if ((typeof value === 'string') !== (sort === 'filename'))
    throw new AppError('bad-request', `not a cursor: ${quote(text)}`)
  return { value, id }
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
