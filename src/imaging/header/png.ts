/** PNG up to its first pixels (W3C PNG, third edition, §11), read as libpng reads it. */
import { crc32, inflateSync } from 'node:zlib'
import { type FileEnds, isWhole } from '../../core/file-ends.ts'
import type { Found, ReadFormat } from './found.ts'

/** Bits a sample may have, by colour type (§11.2.1). */
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
}
const PALETTE = 3
const HAS_COLOUR = 2
const HAS_ALPHA = 4
/** Real profiles have 0.5–4 KB, printers' up to 1 MB; what is larger is read by the renderer. */
const MAX_PROFILE_BYTES = 64 * 1024
/** The chunk of no bytes and its checksum. */
const END = Buffer.from('49454e44ae426082', 'hex')
/** Read once, in this order of the standard; anything repeated is left to libpng's judgement. */
const ONCE: ReadonlySet<string> = new Set(['PLTE', 'tRNS', 'iCCP', 'sRGB', 'eXIf', 'acTL'])
/** Bit 5 of a type's first letter: a decoder may pass over it (§5.4). */
const isAncillary = (type: string): boolean => (type.charCodeAt(0) & 32) !== 0
/** Chunks before the pixels; real files have under twenty, and libpng stops keeping them at a thousand. */
const MAX_CHUNKS = 200

interface Header {
  readonly width: number
  readonly height: number
  readonly depth: number
  readonly colour: number
}

const readImageHeader = (data: Buffer): Header | undefined => {
  const header = {
    width: data.readUInt32BE(0),
    height: data.readUInt32BE(4),
    depth: data[8] ?? 0,
    colour: data[9] ?? 0,
  }
  const known = DEPTHS[header.colour]?.includes(header.depth)
  const sound = data.length === 13 && data[10] === 0 && data[11] === 0 && (data[12] ?? 2) <= 1
  return known && sound && header.width > 0 && header.height > 0 ? header : undefined
}

/** §11.3.3.3: a name of 1–79 bytes, NUL, method 0, zlib. Undefined where libpng might not take it. */
const readProfile = (data: Buffer, { colour }: Header): Buffer | undefined => {
  const nul = data.indexOf(0)
  if (nul < 1 || nul > 79 || data[nul + 1] !== 0) return undefined
  const icc = inflateSync(data.subarray(nul + 2), { maxOutputLength: MAX_PROFILE_BYTES })
  const space = icc.toString('latin1', 16, 20)
  const sound =
    icc.length > 132 &&
    icc.readUInt32BE(0) === icc.length &&
    icc.length % 4 === 0 &&
    icc.toString('latin1', 36, 40) === 'acsp' &&
    icc.readUInt32BE(64) < 4 &&
    ['mntr', 'scnr', 'prtr', 'spac'].includes(icc.toString('latin1', 12, 16)) &&
    ['XYZ ', 'Lab '].includes(icc.toString('latin1', 20, 24)) &&
    space === (colour & HAS_COLOUR ? 'RGB ' : 'GRAY') &&
    hasSoundTags(icc)
  return sound ? icc : undefined
}

/** ICC.1:2022 §7.3: every tag lies within the profile, at a multiple of four. */
const hasSoundTags = (icc: Buffer): boolean => {
  const count = icc.readUInt32BE(128)
  if (count > 100 || 132 + count * 12 > icc.length) return false
  for (let at = 132; at < 132 + count * 12; at += 12) {
    const start = icc.readUInt32BE(at + 4)
    if (start % 4 !== 0 || start + icc.readUInt32BE(at + 8) > icc.length) return false
  }
  return true
}

const hasEnd = ({ head, tail, ...file }: FileEnds, from: number): boolean =>
  isWhole({ head, tail, ...file }) ? head.lastIndexOf(END) >= from : tail.includes(END)

export const readPng: ReadFormat = (file, step) => {
  const { head } = file
  const seen = new Map<string, Buffer>()
  let header: Header | undefined
  for (let at = 8, chunks = 0; chunks < MAX_CHUNKS; chunks += 1) {
    step()
    const length = head.readUInt32BE(at)
    const type = head.toString('latin1', at + 4, at + 8)
    if (type === 'IDAT') {
      if (!header || length > 2 ** 31) return undefined
      return hasEnd(file, at) ? describe(header, seen) : { missing: 'the IEND chunk' }
    }
    const data = head.subarray(at + 8, at + 8 + length)
    const checked = head.readUInt32BE(at + 8 + length) === crc32(head.subarray(at + 4, at + 8 + length))
    if (!checked || !/^[A-Za-z]{4}$/.test(type) || seen.has(type)) return undefined
    if (type === 'IHDR') {
      if (header) return undefined
      header = readImageHeader(data)
    } else if (ONCE.has(type)) seen.set(type, data)
    else if (!isAncillary(type)) return undefined
    if (!header) return undefined
    at += 12 + length
  }
  return undefined
}

const describe = (header: Header, seen: ReadonlyMap<string, Buffer>): Found | undefined => {
  const { width, height, depth, colour } = header
  const [palette, clear, profile] = [seen.get('PLTE'), seen.get('tRNS'), seen.get('iCCP')]
  const types = [...seen.keys()]
  // The order of the standard, on which libpng's acceptance of them rests.
  const ordered = !palette || types.indexOf('PLTE') > types.indexOf('iCCP')
  const clearOrdered = !clear || types.indexOf('tRNS') > types.indexOf('PLTE')
  if (!ordered || !clearOrdered || (profile && seen.has('sRGB')) || !isPaletteSound(header, palette)) return undefined
  if (clear && !isClearSound(header, palette, clear)) return undefined
  const icc = profile && readProfile(profile, header)
  if (profile && !icc) return undefined
  const isGrey = (colour & HAS_COLOUR) === 0
  const space = depth === 16 ? (isGrey ? 'grey16' : 'rgb16') : isGrey ? 'b-w' : 'srgb'
  const hasAlpha = (colour & HAS_ALPHA) !== 0 || clear !== undefined
  return { width, height, hasAlpha, space, icc, exif: seen.get('eXIf') }
}

const isPaletteSound = ({ colour, depth }: Header, palette: Buffer | undefined): boolean => {
  if (!palette) return colour !== PALETTE
  const entries = palette.length / 3
  return (
    Number.isInteger(entries) &&
    entries >= 1 &&
    entries <= (colour === PALETTE ? 2 ** depth : 256) &&
    (colour & HAS_COLOUR) !== 0
  )
}

/** §11.3.1.1: one value of two bytes, three, or at most as many bytes as the palette has colours. */
const isClearSound = ({ colour }: Header, palette: Buffer | undefined, clear: Buffer): boolean => {
  if (colour === 0) return clear.length === 2
  if (colour === HAS_COLOUR) return clear.length === 6
  return colour === PALETTE && clear.length >= 1 && clear.length <= (palette?.length ?? 0) / 3
}
