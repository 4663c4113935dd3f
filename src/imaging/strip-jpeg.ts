/** JPEG without its application segments and comments (ITU-T T.81 annex B). */
const SOI = 0xd8
const EOI = 0xd9
const SOS = 0xda
const APP0 = 0xe0
const APP14 = 0xee
const COM = 0xfe
/** Frame kinds that every browser shows: baseline, extended and progressive, Huffman-coded. Others (arithmetic, lossless) must be re-encoded. */
const SHOWN_FRAMES = new Set([0xc0, 0xc1, 0xc2])
/** Start-of-frame markers, and DAC of arithmetic coding; DHT (C4) and JPG (C8) lie between them. */
const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8
/** Length of a JFIF segment without its thumbnail: length, `JFIF\0`, version, units, densities, two zero sides. */
const JFIF_BYTES = 16

const isApplication = (marker: number): boolean => marker >= APP0 && marker <= 0xef

/** JFIF without its thumbnail; nothing for other APP0s. Adobe's APP14 says how colours are coded, so it stays. */
const keptApplication = (marker: number, segment: Buffer): Buffer | undefined => {
  if (marker === APP14 && segment.toString('latin1', 4, 9) === 'Adobe') return segment.subarray(0, 16)
  if (marker !== APP0 || segment.toString('latin1', 4, 9) !== 'JFIF\0' || segment.length < JFIF_BYTES + 2)
    return undefined
  const bare = Buffer.from(segment.subarray(0, JFIF_BYTES + 2))
  bare.writeUInt16BE(JFIF_BYTES, 2)
  bare.fill(0, JFIF_BYTES)
  return bare
}

/** Where the entropy-coded data from `at` ends: the next marker that is neither a stuffed zero nor a restart. */
const endOfScan = (bytes: Buffer, at: number): number => {
  for (let next = bytes.indexOf(0xff, at); next >= 0 && next + 1 < bytes.length; next = bytes.indexOf(0xff, next + 1)) {
    const code = bytes[next + 1] ?? 0
    if (code !== 0 && code !== 0xff && !(code >= 0xd0 && code <= 0xd7)) return next
  }
  return -1
}

/** Keeps tables, frames and scans up to the first end of image; what follows it (gain maps, previews, anything) is dropped. */
export const stripJpeg = (bytes: Buffer): Buffer | undefined => {
  if (bytes[0] !== 0xff || bytes[1] !== SOI) return undefined
  const parts = [bytes.subarray(0, 2)]
  let at = 2
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) return undefined
    const marker = bytes[at + 1] ?? 0
    if (marker === 0xff) {
      at += 1
      continue
    }
    const end = at + 2 + bytes.readUInt16BE(at + 2)
    if (end > bytes.length || end < at + 4 || marker < 0xc0) return undefined
    const segment = bytes.subarray(at, end)
    if (isFrame(marker) && (!SHOWN_FRAMES.has(marker) || segment[4] !== 8)) return undefined
    if (isApplication(marker)) {
      const kept = keptApplication(marker, segment)
      if (kept) parts.push(kept)
    } else if (marker !== COM) {
      parts.push(segment)
    }
    at = end
    if (marker !== SOS) continue
    const scanEnd = endOfScan(bytes, at)
    if (scanEnd < 0) return undefined
    parts.push(bytes.subarray(at, scanEnd))
    at = scanEnd
    if (bytes[at + 1] === EOI) return Buffer.concat([...parts, bytes.subarray(at, at + 2)])
  }
  return undefined
}
