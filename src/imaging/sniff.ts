/** What a file is, from its first bytes alone: a format we take, or the name of what it is instead. Pure. */
import { ORIGINAL_FORMATS, type OriginalFormat } from '../core/image.ts'

/** How many bytes of a file `sniff` wants: enough for a long XML prologue before `<svg`. */
export const SNIFF_BYTES = 4096

export type Sniffed =
  | { readonly kind: 'image'; readonly format: OriginalFormat }
  | { readonly kind: 'refused'; readonly what: string }

const image = (format: OriginalFormat): Sniffed => ({ kind: 'image', format })
const refused = (what: string): Sniffed => ({ kind: 'refused', what })

/** Signatures at offset 0, in hexadecimal. Formats that libvips could guess at are refused here, by name, before it sees them. */
const SIGNATURES: readonly (readonly [hex: string, Sniffed])[] = [
  ['ffd8ff', image('jpeg')],
  ['89504e470d0a1a0a', image('png')],
  ['474946383761', image('gif')],
  ['474946383961', image('gif')],
  ['49492a00', image('tiff')],
  ['4d4d002a', image('tiff')],
  ['49492b00', image('tiff')],
  ['4d4d002b', image('tiff')],
  ['ff0a', refused('a JPEG XL codestream')],
  ['0000000c4a584c200d0a870a', refused('a JPEG XL picture')],
  ['0000000c6a5020200d0a870a', refused('a JPEG 2000 picture')],
  ['ff4fff51', refused('a JPEG 2000 codestream')],
  ['424d', refused('a BMP bitmap')],
  ['00000100', refused('a Windows icon (ICO)')],
  ['00000200', refused('a Windows cursor (CUR)')],
  ['38425053', refused('a Photoshop document (PSD)')],
  ['255044462d', refused('a PDF document')],
  ['2521', refused('a PostScript document')],
  ['c5d0d3c6', refused('an EPS document')],
  ['1f8b', refused('gzip-compressed (SVGZ?)')],
  ['504b0304', refused('a ZIP archive')],
  ['52617221', refused('a RAR archive')],
  ['377abcaf', refused('a 7z archive')],
  ['1a45dfa3', refused('a Matroska or WebM video')],
  ['000001ba', refused('an MPEG video')],
  ['000001b3', refused('an MPEG video')],
  ['464c56', refused('a Flash video')],
  ['4f676753', refused('an Ogg stream')],
  ['494433', refused('an MP3 sound')],
  ['762f3101', refused('an OpenEXR picture')],
  ['8a4d4e470d0a1a0a', refused('an MNG animation')],
  ['ab4b5458', refused('a KTX texture')],
  ['233f52414449414e4345', refused('a Radiance HDR picture')],
  ['716f6966', refused('a QOI picture')],
  ['7f454c46', refused('a program (ELF)')],
  ['4d5a', refused('a program (Windows)')],
]

const HEVC_BRANDS = new Set(['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs'])

/** ISO base media (ISO 14496-12 §4.3): major brand, then compatible brands, four bytes each, up to the box's end. */
const sniffIsoMedia = (head: Buffer): Sniffed => {
  const end = Math.min(head.readUInt32BE(0), head.length)
  const major = head.toString('latin1', 8, 12)
  const brands = new Set([major])
  for (let at = 16; at + 4 <= end; at += 4) brands.add(head.toString('latin1', at, at + 4))
  if (major === 'avis') return refused('an AVIF image sequence')
  if (brands.has('avif')) return image('avif')
  if (brands.has('avis')) return refused('an AVIF image sequence')
  if ([...brands].some((brand) => HEVC_BRANDS.has(brand))) return refused('HEIC (HEVC-coded HEIF)')
  if (brands.has('mif1') || brands.has('msf1')) return refused('HEIF in a coding other than AV1')
  if (major === 'crx ') return refused('a Canon raw picture')
  return refused('an MP4 or QuickTime video')
}

const sniffRiff = (head: Buffer): Sniffed => {
  const form = head.toString('latin1', 8, 12)
  if (form === 'WEBP') return image('webp')
  if (form === 'AVI ') return refused('an AVI video')
  if (form === 'WAVE') return refused('a WAVE sound')
  return refused('a RIFF file that is not WebP')
}

/** White space, XML declarations and processing instructions, comments, a doctype with or without an internal subset. */
const XML_PROLOGUE =
  /^(?:\s+|<\?[\s\S]*?\?>|<!--[\s\S]*?-->|<!DOCTYPE\s+(?:[\w.-]+:)?svg\b[^[>]*(?:\[[\s\S]*?\]\s*)?>)/i
const SVG_ROOT = /^<(?:[A-Za-z_][\w.-]*:)?svg[\s/>]/

const sniffText = (head: Buffer): Sniffed => {
  if (head.includes(0)) return refused('of no known kind')
  let text = head.toString('utf8').replace(/^\uFEFF/, '')
  if (/^\s*(push graphic-context|viewbox |image over)/i.test(text)) return refused('an ImageMagick drawing (MVG)')
  if (/^\s*<image[\s>]/i.test(text)) return refused('an ImageMagick script (MSL)')
  if (/^P[1-7]\s/.test(text)) return refused('a Netpbm picture')
  for (let prologue = XML_PROLOGUE.exec(text); prologue; prologue = XML_PROLOGUE.exec(text)) {
    text = text.slice(prologue[0].length)
  }
  if (SVG_ROOT.test(text)) return image('svg')
  if (/^<(!doctype html|html|head|body|script)/i.test(text)) return refused('an HTML page')
  if (text.startsWith('<')) return refused('XML, but not SVG')
  return refused(/^[\x20-\x7e\s]*$/.test(text) ? 'plain text' : 'of no known kind')
}

/** `head`: the first `SNIFF_BYTES` of the file, or all of a shorter one. The name and the declared type play no part. */
export const sniff = (head: Buffer): Sniffed => {
  if (head.length === 0) return refused('empty')
  const hex = head.toString('hex', 0, 16)
  if (hex.startsWith('52494646')) return sniffRiff(head)
  if (head.length >= 12 && head.toString('latin1', 4, 8) === 'ftyp') return sniffIsoMedia(head)
  const known = SIGNATURES.find(([signature]) => hex.startsWith(signature))
  return known ? known[1] : sniffText(head)
}

/** The 415 message: what the file is, and what would have been taken. */
export const refusal = (what: string): string => `the file is ${what}; accepted are ${ORIGINAL_FORMATS.join(', ')}`
