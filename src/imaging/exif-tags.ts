/**
 * The few tags of an EXIF block (TIFF 6.0 §2, EXIF 2.32 §4.6) that anybody here asks for. Each directory is walked once and at
 * most three values of a tag are read, so hostile counts and offsets cost nothing. Pure.
 */

/** A text, the numbers of a tag (three at most), or nothing that makes sense. */
export type TagValue = string | readonly number[] | undefined

/** Tags of one directory by number; where one is repeated the last counts. */
export type Tags = ReadonlyMap<number, TagValue>

export interface ExifTags {
  readonly image: Tags
  readonly photo: Tags
  readonly gps: Tags
}

export const TAG = {
  make: 0x010f,
  model: 0x0110,
  orientation: 0x0112,
  exif: 0x8769,
  gps: 0x8825,
  dateTimeOriginal: 0x9003,
  dateTimeDigitized: 0x9004,
  offsetTimeOriginal: 0x9011,
  offsetTimeDigitized: 0x9012,
  latitudeRef: 1,
  latitude: 2,
  longitudeRef: 3,
  longitude: 4,
} as const

const WANTED: ReadonlySet<number> = new Set(Object.values(TAG))
/** Makers and models are some tens of characters; what is longer is cut anyway before it is kept. */
const MAX_TEXT_BYTES = 1000
const MAX_VALUES = 3

interface Block {
  readonly bytes: Buffer
  readonly u16: (at: number) => number
  readonly u32: (at: number) => number
  readonly i32: (at: number) => number
}

/** @throws RangeError (from Buffer) on every read beyond the end. */
const openBlock = (exif: Buffer): Block | undefined => {
  // JPEG puts "Exif\0\0" before the block; other containers mostly do not.
  const bytes = exif.toString('latin1', 0, 5) === 'Exif\0' ? exif.subarray(6) : exif
  const order = bytes.toString('latin1', 0, 2)
  if (bytes.length <= 8 || (order !== 'II' && order !== 'MM')) return undefined
  const little = order === 'II'
  const u16 = (at: number) => (little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at))
  const u32 = (at: number) => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at))
  const i32 = (at: number) => (little ? bytes.readInt32LE(at) : bytes.readInt32BE(at))
  return u16(2) === 42 ? { bytes, u16, u32, i32 } : undefined
}

/** Bytes of one value by field type (TIFF 6.0 §2): 1 byte, 2 ASCII, 3 short, 4 long, 5 rational, 9 and 10 the signed ones. */
const SIZES: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 9: 4, 10: 8 }

const readNumber = ({ bytes, u16, u32, i32 }: Block, type: number, at: number): number => {
  switch (type) {
    case 1:
      return bytes.readUInt8(at)
    case 3:
      return u16(at)
    case 4:
      return u32(at)
    case 5:
      return u32(at) / u32(at + 4)
    case 9:
      return i32(at)
    default:
      return i32(at) / i32(at + 4)
  }
}

/** Text that is not ASCII is nothing: EXIF knows no other coding. One NUL at the end goes. */
const readText = (bytes: Buffer): string | undefined =>
  bytes.some((byte) => byte > 127) ? undefined : bytes.toString('latin1').replace(/\0$/, '')

const readValue = (block: Block, entry: number): TagValue => {
  const type = block.u16(entry + 2)
  const count = block.u32(entry + 4)
  const size = SIZES[type]
  if (size === undefined) return undefined
  const at = size * count <= 4 ? entry + 8 : block.u32(entry + 8)
  if (at + Math.min(count, MAX_VALUES) * size > block.bytes.length) return undefined
  if (type === 2) return readText(block.bytes.subarray(at, at + Math.min(count, MAX_TEXT_BYTES)))
  return Array.from({ length: Math.min(count, MAX_VALUES) }, (_, i) => readNumber(block, type, at + i * size))
}

/** @throws RangeError where the directory does not fit into the block. */
const readDirectory = (block: Block, at: number): Tags => {
  const tags = new Map<number, TagValue>()
  const entries = block.u16(at)
  for (let entry = at + 2; entry < at + 2 + entries * 12; entry += 12) {
    const tag = block.u16(entry)
    if (WANTED.has(tag)) tags.set(tag, readValue(block, entry))
  }
  return tags
}

const NO_TAGS: Tags = new Map()

/** The directory that a tag of another points to; empty where there is none, or it is broken: the others may be sound. */
const readBeneath = (block: Block, tags: Tags, pointer: number): Tags => {
  const [offset] = tags.get(pointer) ?? []
  if (typeof offset !== 'number' || offset <= 0 || !Number.isInteger(offset)) return NO_TAGS
  try {
    return readDirectory(block, offset)
  } catch {
    return NO_TAGS
  }
}

/** `exif`: the raw block with or without its `Exif\0\0`. Undefined where it is none, or its first directory is broken. */
export const readExifTags = (exif: Buffer): ExifTags | undefined => {
  try {
    const block = openBlock(exif)
    if (!block) return undefined
    const image = readDirectory(block, block.u32(4))
    return { image, photo: readBeneath(block, image, TAG.exif), gps: readBeneath(block, image, TAG.gps) }
  } catch {
    return undefined
  }
}
