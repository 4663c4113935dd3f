/** JPEG up to its first scan (ITU-T T.81 annex B), read as strictly as libjpeg reads it. */
import { type FileEnds, isWhole } from '../../core/file-ends.ts'
import type { Found, ReadFormat } from './found.ts'

const SOS = 0xda
const DQT = 0xdb
const DRI = 0xdd
const DHT = 0xc4
const APP1 = 0xe1
const APP2 = 0xe2
const COM = 0xfe
const EOI = Buffer.of(0xff, 0xd9)
/** Baseline, extended and progressive, Huffman-coded. */
const FRAMES: ReadonlySet<number> = new Set([0xc0, 0xc1, 0xc2])
/** libjpeg's JPEG_MAX_DIMENSION. */
const MAX_SIDE = 65_500
/** libvips' interpretation by the number of components, for 8 bits. */
const SPACES: Readonly<Record<number, string>> = { 1: 'b-w', 3: 'srgb', 4: 'cmyk' }
const ICC_MARK = 'ICC_PROFILE\0'

interface Frame {
  readonly width: number
  readonly height: number
  readonly components: readonly number[]
}

/** B.2.2; undefined for what libjpeg refuses, or we do not know it to take. */
const readFrame = (payload: Buffer): Frame | undefined => {
  const count = payload.readUInt8(5)
  const [height, width] = [payload.readUInt16BE(1), payload.readUInt16BE(3)]
  const sides = width > 0 && height > 0 && Math.max(width, height) <= MAX_SIDE
  if (payload[0] !== 8 || !sides || !(count in SPACES) || payload.length !== 6 + count * 3) return undefined
  const components: number[] = []
  for (let at = 6; at < payload.length; at += 3) {
    const factors = payload.readUInt8(at + 1)
    const [across, down] = [factors >> 4, factors & 15]
    if (across < 1 || across > 4 || down < 1 || down > 4 || payload.readUInt8(at + 2) > 3) return undefined
    components.push(payload.readUInt8(at))
  }
  return new Set(components).size === count ? { width, height, components } : undefined
}

/** B.2.4.1 */
const areQuantTables = (payload: Buffer, step: () => void): boolean => {
  let at = 0
  while (at < payload.length) {
    step()
    const head = payload.readUInt8(at)
    if (head >> 4 > 1 || (head & 15) > 3) return false
    at += 1 + 64 * (1 + (head >> 4))
  }
  return at === payload.length && at > 0
}

/** B.2.4.2 */
const areHuffmanTables = (payload: Buffer, step: () => void): boolean => {
  let at = 0
  while (at < payload.length) {
    step()
    const head = payload.readUInt8(at)
    const symbols = payload.subarray(at + 1, at + 17).reduce((sum, count) => sum + count, 0)
    if (head >> 4 > 1 || (head & 15) > 3 || symbols > 256) return false
    at += 17 + symbols
  }
  return at === payload.length && at > 0
}

/** B.2.3 */
const isScan = (payload: Buffer, { components }: Frame): boolean => {
  const count = payload.readUInt8(0)
  if (count < 1 || count > components.length || payload.length !== 4 + count * 2) return false
  for (let at = 1; at <= count * 2; at += 2) if (!components.includes(payload.readUInt8(at))) return false
  return true
}

/** ICC.1:2022 B.4: numbered from 1, each saying how many there are. Undefined for any other set. */
const joinProfile = (parts: readonly Buffer[]): Buffer | undefined => {
  const sorted = parts.toSorted((a, b) => a.readUInt8(12) - b.readUInt8(12))
  const complete = sorted.every((part, i) => part.readUInt8(12) === i + 1 && part.readUInt8(13) === parts.length)
  return complete ? Buffer.concat(sorted.map((part) => part.subarray(14))) : undefined
}

/** After the first scan's start. What follows an end of image is not ours: previews, gain maps, whole videos. */
const hasEnd = (file: FileEnds, scan: number): boolean =>
  isWhole(file) ? file.head.lastIndexOf(EOI) >= scan : file.tail.includes(EOI)

export const readJpeg: ReadFormat = (file, step) => {
  const { head } = file
  const profile: Buffer[] = []
  let frame: Frame | undefined
  let exif: Buffer | undefined
  for (let at = 2; ; ) {
    step()
    if (head.readUInt8(at) !== 0xff) return undefined
    const marker = head.readUInt8(at + 1)
    if (marker === 0xff) {
      at += 1
      continue
    }
    const end = at + 2 + head.readUInt16BE(at + 2)
    if (end < at + 4 || end > head.length) return undefined
    const payload = head.subarray(at + 4, end)
    at = end
    if (marker === SOS) {
      if (!frame || !isScan(payload, frame)) return undefined
      if (!hasEnd(file, end)) return { missing: 'the end-of-image marker' }
      return describe(frame, exif, profile)
    }
    if (FRAMES.has(marker)) {
      if (frame) return undefined
      frame = readFrame(payload)
      if (!frame) return undefined
    } else if (marker === APP1 && payload.toString('latin1', 0, 4) === 'Exif') {
      if (exif) return undefined
      exif = payload
    } else if (marker === APP2 && payload.toString('latin1', 0, 12) === ICC_MARK) {
      if (payload.length < 15) return undefined
      profile.push(payload)
    } else if (!isOrdinary(marker, payload, step)) return undefined
  }
}

const isOrdinary = (marker: number, payload: Buffer, step: () => void): boolean => {
  if (marker === DQT) return areQuantTables(payload, step)
  if (marker === DHT) return areHuffmanTables(payload, step)
  if (marker === DRI) return payload.length === 2
  return marker === COM || (marker >= 0xe0 && marker <= 0xef)
}

const describe = (
  { width, height, components }: Frame,
  exif: Buffer | undefined,
  profile: readonly Buffer[],
): Found | undefined => {
  const icc = profile.length > 0 ? joinProfile(profile) : undefined
  if (profile.length > 0 && !icc) return undefined
  return { width, height, hasAlpha: false, space: SPACES[components.length] ?? '', icc, exif }
}
