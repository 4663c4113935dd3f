/** Boxes of ISO base media files (ISO 14496-12 §4.2), read from untrusted bytes and written. Pure. */

export interface Box {
  readonly type: string
  readonly payload: Buffer
}

/** More boxes in a row than any still picture has. */
const MAX_BOXES = 256

/** @returns the boxes that fill `bytes` to the last byte; undefined where they do not, or are more than `MAX_BOXES`. */
export const readBoxes = (bytes: Buffer): Box[] | undefined => {
  const boxes: Box[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + 8 > bytes.length || boxes.length === MAX_BOXES) return undefined
    const declared = bytes.readUInt32BE(at)
    // 0: to the end of the file; 1: a 64-bit size, which no picture under 4 GB needs.
    const size = declared === 0 ? bytes.length - at : declared
    if (size < 8 || at + size > bytes.length) return undefined
    boxes.push({ type: bytes.toString('latin1', at + 4, at + 8), payload: bytes.subarray(at + 8, at + size) })
    at += size
  }
  return boxes
}

export const writeBox = (type: string, ...payload: readonly Uint8Array[]): Buffer => {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + payload.reduce((sum, { length }) => sum + length, 0))
  head.write(type, 4, 'latin1')
  return Buffer.concat([head, ...payload])
}

/** Version (one byte) and flags (three) that begin a full box. */
export const fullBox = (version: number, flags = 0): Buffer => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(version * 2 ** 24 + flags)
  return head
}

export const u16 = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 2)
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, i * 2)
  return bytes
}

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Reads numbers one after another. Every read beyond the end throws the `RangeError` of Node's Buffer. */
export interface Cursor {
  /** An unsigned number of 0, 1, 2, 4 or 8 bytes. @throws RangeError also for another size, or a number above 2^53. */
  number(bytes: number): number
  take(bytes: number): Buffer
  rest(): Buffer
}

export const cursorOf = (bytes: Buffer): Cursor => {
  let at = 0
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new RangeError(`${length} bytes wanted at ${at} of ${bytes.length}`)
    at += length
    return bytes.subarray(at - length, at)
  }
  const number = (length: number): number => {
    const raw = take(length)
    if (length === 0) return 0
    if (length <= 4) return raw.readUIntBE(0, length)
    const value = length === 8 ? Number(raw.readBigUInt64BE()) : Number.NaN
    if (!Number.isSafeInteger(value)) throw new RangeError(`a number of ${length} bytes is too large`)
    return value
  }
  return { take, number, rest: () => take(bytes.length - at) }
}
