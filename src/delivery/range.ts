/** `Range` on originals (RFC 9110 §14): one byte range. Several ranges, other units and malformed ones are ignored: 200 whole. */
import type { ByteRange } from '../blobs/store.ts'
import { AppError } from '../core/errors.ts'

/**
 * @param size of the original in bytes.
 * @param ifRange validator sent as `If-Range`; anything but our strong ETag means the client's part is of something else.
 * @returns the inclusive range, or undefined for the whole.
 * @throws AppError `range` (416, with `Content-Range`) for a well-formed range that begins past the end.
 */
export const parseRange = (
  header: string | undefined,
  ifRange: string | undefined,
  etag: string,
  size: number,
): ByteRange | undefined => {
  if (header === undefined || (ifRange !== undefined && ifRange !== etag)) return undefined
  const [, first, last] = /^bytes=(\d*)-(\d*)$/i.exec(header.trim()) ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
  if (start >= size || (first === '' && Number(last) === 0))
    throw new AppError('range', `no such bytes: ${header} of ${size}`, {
      headers: { 'Content-Range': `bytes */${size}` },
    })
  return { start, end }
}
