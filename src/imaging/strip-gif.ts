/** GIF without comments, plain text and application extensions other than the loop count (GIF89a §18–26). */
const EXTENSION = 0x21
const IMAGE = 0x2c
const TRAILER = 0x3b
const GRAPHIC_CONTROL = 0xf9
const APPLICATION = 0xff
const LOOPS = new Set(['NETSCAPE2.0', 'ANIMEXTS1.0'])

const paletteBytes = (packed: number): number => (packed & 0x80 ? 3 << ((packed & 7) + 1) : 0)

/** The offset after a run of data sub-blocks that starts at `at`; -1 where it does not end. */
const afterSubBlocks = (bytes: Buffer, at: number): number => {
  let next = at
  while (next < bytes.length) {
    const length = bytes[next] ?? 0
    next += 1 + length
    if (length === 0) return next
  }
  return -1
}

const isKept = (bytes: Buffer, at: number): boolean => {
  const label = bytes[at + 1]
  return label === GRAPHIC_CONTROL || (label === APPLICATION && LOOPS.has(bytes.toString('latin1', at + 3, at + 14)))
}

export const stripGif = (bytes: Buffer): Buffer | undefined => {
  let at = 13 + paletteBytes(bytes[10] ?? 0)
  if (bytes.toString('latin1', 0, 3) !== 'GIF' || at > bytes.length) return undefined
  const parts = [bytes.subarray(0, at)]
  while (at < bytes.length) {
    const kind = bytes[at]
    if (kind === TRAILER) return Buffer.concat([...parts, Buffer.of(TRAILER)])
    if (kind !== EXTENSION && kind !== IMAGE) return undefined
    // An image descriptor has ten bytes, its palette, and one byte of LZW code size before the sub-blocks.
    const data = kind === IMAGE ? at + 10 + paletteBytes(bytes[at + 9] ?? 0) + 1 : at + 2
    const end = afterSubBlocks(bytes, data)
    if (end < 0 || end > bytes.length) return undefined
    if (kind === IMAGE || isKept(bytes, at)) parts.push(bytes.subarray(at, end))
    at = end
  }
  return undefined
}
