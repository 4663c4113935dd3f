/** WebP's chunks (RFC 9649 §2), read as libwebp's demuxer reads them. */
import { isWhole } from '../../core/file-ends.ts'
import type { Found, ReadFormat } from './found.ts'

const [ANIMATION, XMP, EXIF, ALPHA, ICC] = [0x02, 0x04, 0x08, 0x10, 0x20] as const
const FRAME_HEADER_BYTES = 16
const RIFF_HEADER_BYTES = 12

interface Picture {
  readonly width: number
  readonly height: number
  readonly alpha: boolean
}

/** RFC 6386 §9.1: a key frame that is shown; 14 bits a side, the rest says how to enlarge it. */
const readLossy = (data: Buffer): Picture | undefined => {
  const tag = data.readUIntLE(0, 3)
  const sound = (tag & 1) === 0 && ((tag >> 1) & 7) <= 3 && ((tag >> 4) & 1) === 1 && data.readUIntBE(3, 3) === 0x9d012a
  return sound && tag >> 5 < data.length
    ? { width: data.readUInt16LE(6) & 0x3fff, height: data.readUInt16LE(8) & 0x3fff, alpha: false }
    : undefined
}

/** RFC 9649 §3.4: 14 bits a side less one, a bit of alpha, three of version. */
const readLossless = (data: Buffer): Picture | undefined => {
  const bits = data.readUInt32LE(1)
  if (data[0] !== 0x2f || bits >>> 29 !== 0) return undefined
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1, alpha: ((bits >>> 28) & 1) === 1 }
}

const readPicture = (type: string, data: Buffer): Picture | undefined => {
  const picture = type === 'VP8 ' ? readLossy(data) : type === 'VP8L' ? readLossless(data) : undefined
  return picture && picture.width > 0 && picture.height > 0 ? picture : undefined
}

interface Chunk {
  readonly type: string
  readonly data: Buffer
}

/** The chunks from `at` to `end`, which they must fill. @throws RangeError */
const readChunks = (bytes: Buffer, start: number, end: number, step: () => void): Chunk[] | undefined => {
  const chunks: Chunk[] = []
  for (let at = start; at < end; ) {
    step()
    const length = bytes.readUInt32LE(at + 4)
    const next = at + 8 + length + (length % 2)
    if (next > end) return undefined
    chunks.push({ type: bytes.toString('latin1', at, at + 4), data: bytes.subarray(at + 8, at + 8 + length) })
    at = next
  }
  return chunks
}

/** One picture or frame among `chunks`, with an alpha plane before it or not; undefined for none, or several. */
const onlyPicture = (chunks: readonly Chunk[]): Picture | undefined => {
  const pictures = chunks.filter(({ type }) => type === 'VP8 ' || type === 'VP8L')
  const [first] = pictures
  if (!first || pictures.length > 1) return undefined
  const picture = readPicture(first.type, first.data)
  const planes = chunks.filter(({ type }) => type === 'ALPH').length
  if (planes > 1 || (planes === 1 && first.type === 'VP8L')) return undefined
  return picture && { ...picture, alpha: picture.alpha || planes === 1 }
}

const isFrame = ({ data }: Chunk, canvas: Canvas, step: () => void): boolean => {
  const inside = readChunks(data, FRAME_HEADER_BYTES, data.length, step)
  const picture = inside && onlyPicture(inside)
  const [x, y] = [data.readUIntLE(0, 3) * 2, data.readUIntLE(3, 3) * 2]
  const [width, height] = [data.readUIntLE(6, 3) + 1, data.readUIntLE(9, 3) + 1]
  return (
    picture?.width === width && picture.height === height && x + width <= canvas.width && y + height <= canvas.height
  )
}

interface Canvas {
  readonly width: number
  readonly height: number
  readonly flags: number
}

const readExtended = (chunks: readonly Chunk[], step: () => void): Found | undefined => {
  const [first, ...rest] = chunks
  if (first?.type !== 'VP8X' || first.data.length < 10) return undefined
  const flags = first.data.readUInt8(0)
  const canvas = { flags, width: first.data.readUIntLE(4, 3) + 1, height: first.data.readUIntLE(7, 3) + 1 }
  const only = (type: string, flag: number): Buffer | undefined =>
    flags & flag ? rest.find((chunk) => chunk.type === type)?.data : undefined
  const repeated = ['VP8X', 'ICCP', 'EXIF', 'ANIM'].some(
    (type) => chunks.filter((chunk) => chunk.type === type).length > 1,
  )
  if (repeated || (flags & ~(ANIMATION | XMP | EXIF | ALPHA | ICC)) !== 0) return undefined
  const found = {
    width: canvas.width,
    height: canvas.height,
    hasAlpha: (flags & ALPHA) !== 0,
    space: 'srgb',
    icc: only('ICCP', ICC),
    exif: only('EXIF', EXIF),
  }
  const frames = rest.filter(({ type }) => type === 'ANMF')
  if (flags & ANIMATION) {
    const sound = rest.some(({ type }) => type === 'ANIM') && frames.length > 0
    return sound && frames.every((frame) => isFrame(frame, canvas, step))
      ? { ...found, pages: frames.length }
      : undefined
  }
  const picture = onlyPicture(rest)
  const fits = picture?.width === canvas.width && picture.height === canvas.height && frames.length === 0
  // Where the flag and the plane disagree, decoders do too.
  return fits && picture.alpha === found.hasAlpha ? found : undefined
}

export const readWebp: ReadFormat = (file, step) => {
  const { head } = file
  const end = 8 + head.readUInt32LE(4)
  if (end > file.bytes) return { missing: `${end - file.bytes} bytes that its RIFF header promises` }
  if (!isWhole(file)) return readLargeStill(head, end)
  const chunks = readChunks(head, RIFF_HEADER_BYTES, end, step)
  if (!chunks) return undefined
  const [first] = chunks
  if (first?.type === 'VP8X') return readExtended(chunks, step)
  const picture = chunks.length === 1 && first ? readPicture(first.type, first.data) : undefined
  return picture && { width: picture.width, height: picture.height, hasAlpha: picture.alpha, space: 'srgb' }
}

/** The one chunk of a plain file fills it, and its first bytes say all. */
const readLargeStill = (head: Buffer, end: number): Found | undefined => {
  const length = head.readUInt32LE(RIFF_HEADER_BYTES + 4)
  if (RIFF_HEADER_BYTES + 8 + length + (length % 2) !== end) return undefined
  const picture = readPicture(
    head.toString('latin1', RIFF_HEADER_BYTES, RIFF_HEADER_BYTES + 4),
    head.subarray(RIFF_HEADER_BYTES + 8),
  )
  return picture && { width: picture.width, height: picture.height, hasAlpha: picture.alpha, space: 'srgb' }
}
