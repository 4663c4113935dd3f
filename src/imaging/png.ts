/**
 * A still PNG: of the ways to write the same pixels, the one that gives the fewest bytes. No one setting suits all: at 640 px a
 * photo (kodim23) is 691 kB unfiltered and 414 kB filtered, clip-art 87 kB and 106 kB; both cost some 65 ms a try, which is
 * less than a wrong guess costs on the way to the client.
 */
import sharp, { type PngOptions, type Sharp } from 'sharp'
import type { OriginalFormat } from '../core/image.ts'
import type { Encoding } from './encode.ts'
import { openOriginal } from './open.ts'
import type { RenderJob } from './renderer-port.ts'

export interface Pixels {
  readonly data: Buffer
  readonly width: number
  readonly height: number
  readonly channels: 1 | 2 | 3 | 4
}

/** Pixels that are held to be tried again: 64 MB of RGBA. Larger ones are written once, as they are decoded. */
const MAX_HELD_PIXELS = 16e6

const QUICK: readonly PngOptions[] = [{ compressionLevel: 6 }, { compressionLevel: 6, adaptiveFiltering: true }]
/** 5 % fewer bytes for up to five times the time. */
const THOROUGH: readonly PngOptions[] = [{ compressionLevel: 9 }, { compressionLevel: 9, adaptiveFiltering: true }]
/** Up to 256 colours of the picture's own choice. Effort 3 takes a fifth of effort 7 (kodim23: 163 ms, 959 ms), for 10–20 % more. */
const PALETTE: PngOptions = { palette: true, quality: 100, effort: 3, compressionLevel: 9 }
/**
 * Fewer colours where that still is heavier than the whole original; without dithering, which is noise to the compressor. A
 * screenshot in 16 colours from 1200 to 640 px: 33.7, 26.1 kB; mean error of a channel 0.2 in both.
 */
const FEWER_COLOURS: readonly PngOptions[] = [80, 60, 40].map((quality) => ({ ...PALETTE, quality, dither: 0 }))

/**
 * Colours in a bitmap that was drawn: clip-art of the corpus has 536…762, being flat colours with smooth edges; a photograph has
 * tens of thousands.
 */
const DRAWN_COLOURS = 1024
/** Below it there is little to save, and a palette moves colours by a step. */
const WORTH_A_PALETTE_BYTES = 4096

const readPixels = async (image: Sharp): Promise<Pixels> => {
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true })
  return { data, width: info.width, height: info.height, channels: info.channels }
}

/** What a picture with alpha or three channels does without: an alpha that is opaque everywhere, colour where all is grey. */
export const compact = ({ data, width, height, channels }: Pixels): Pixels => {
  let [opaque, grey] = [channels === 4, true]
  if (channels < 3) return { data, width, height, channels }
  for (let at = 0; at < data.length && (opaque || grey); at += channels) {
    if (opaque && data[at + 3] !== 255) opaque = false
    if (grey && (data[at] !== data[at + 1] || data[at] !== data[at + 2])) grey = false
  }
  const kept = [...(grey ? [0] : [0, 1, 2]), ...(channels === 4 && !opaque ? [3] : [])]
  if (kept.length === channels) return { data, width, height, channels }
  const packed = Buffer.alloc((data.length / channels) * kept.length)
  let to = 0
  for (let at = 0; at < data.length; at += channels) {
    for (const channel of kept) {
      packed[to] = data[at + channel] ?? 0
      to += 1
    }
  }
  return { data: packed, width, height, channels: kept.length === 1 ? 1 : kept.length === 2 ? 2 : 3 }
}

/** Whether the picture has at most `limit` colours, alpha included. Stops at the first that is too many. */
export const hasFewColours = ({ data, channels }: Pixels, limit: number): boolean => {
  const seen = new Set<number>()
  for (let at = 0; at < data.length; at += channels) {
    seen.add(data.readUIntBE(at, channels))
    if (seen.size > limit) return false
  }
  return true
}

const write = async ({ data, width, height, channels }: Pixels, options: PngOptions): Promise<Buffer> => {
  const image = sharp(data, { raw: { width, height, channels } })
  return (channels < 3 ? image.toColourspace('b-w') : image).png(options).toBuffer()
}

/** The smallest of `best` and `pixels` written in each way. */
const smallest = async (pixels: Pixels, ways: readonly PngOptions[], best?: Buffer): Promise<Buffer> => {
  let smallestSoFar = best
  for (const way of ways) {
    const bytes = await write(pixels, way)
    if (!smallestSoFar || bytes.length < smallestSoFar.length) smallestSoFar = bytes
  }
  return smallestSoFar ?? Buffer.alloc(0)
}

const hasPalette = async (job: RenderJob): Promise<boolean> =>
  job.facts.format === 'gif' || (job.facts.format === 'png' && (await (await openOriginal(job)).metadata()).isPalette)

/** Only bitmaps that are small enough to be looked at whole. */
const isDrawn = async (job: RenderJob): Promise<boolean> => {
  const { format, width, height } = job.facts
  if (format !== 'png' || width * height > MAX_HELD_PIXELS) return false
  return hasFewColours(await readPixels(await openOriginal(job)), DRAWN_COLOURS)
}

/** Palettes of fewer and fewer colours, until one weighs no more than the whole original. */
const quantise = async (pixels: Pixels, best: Buffer, budgetBytes: number): Promise<Buffer> => {
  let done = best
  for (const way of [PALETTE, ...FEWER_COLOURS]) {
    if (done.length > budgetBytes) done = await smallest(pixels, [way], done)
  }
  return done
}

/** Too many pixels to hold: photographs are filtered, what may be drawn is not. */
const writeLarge = async (image: Sharp, original: OriginalFormat): Promise<Written> => {
  const adaptiveFiltering = original !== 'png' && original !== 'gif' && original !== 'svg'
  const way = image.png({ compressionLevel: 6, adaptiveFiltering })
  const { data, info } = await way.toBuffer({ resolveWithObject: true })
  return { bytes: data, width: info.width, height: info.height }
}

export interface Written {
  readonly bytes: Buffer
  readonly width: number
  readonly height: number
}

/**
 * - An original with a palette gets one again, if that is smaller: resizing makes new colours, but it never had more than 256.
 * - Where all that is heavier than the whole original, the thorough ways are tried, and palettes for what is plainly drawn.
 * - A photograph never gets a palette, and `q=lossless` nothing does.
 */
export const encodePng = async (
  image: Sharp,
  { quality, output, original }: Encoding,
  job: RenderJob,
): Promise<Written> => {
  if (output.width * output.height > MAX_HELD_PIXELS) return writeLarge(image, original)
  const pixels = compact(await readPixels(image))
  const { width, height } = pixels
  const written = (bytes: Buffer): Written => ({ bytes, width, height })
  const palettised = quality !== 'lossless' && (await hasPalette(job))
  const quick = await smallest(pixels, palettised ? [...QUICK, PALETTE] : QUICK)
  const comparable = original !== 'svg' && width * height <= job.facts.width * job.facts.height
  if (!comparable || quick.length <= job.bytes) return written(quick)
  const thorough = await smallest(pixels, THOROUGH, quick)
  if (thorough.length <= job.bytes || quality === 'lossless') return written(thorough)
  const quantisable = palettised || (thorough.length > WORTH_A_PALETTE_BYTES && (await isDrawn(job)))
  return written(quantisable ? await quantise(pixels, thorough, job.bytes) : thorough)
}
