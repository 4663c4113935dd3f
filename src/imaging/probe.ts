/** Facts of an untrusted file from its header, or the reason why it is refused. Runs in a renderer process. */
import { open } from 'node:fs/promises'
import type { Metadata } from 'sharp'
import { AppError } from '../core/errors.ts'
import type { ImageFacts, OriginalFormat } from '../core/image.ts'
import { readShotDetails } from './exif.ts'
import type { ImageLimits } from './limits.ts'
import { openOriginal } from './open.ts'
import type { Probed } from './renderer-port.ts'
import { refusal, SNIFF_BYTES, sniff } from './sniff.ts'

const readHead = async (path: string): Promise<Buffer> => {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(SNIFF_BYTES), 0, SNIFF_BYTES, 0)
  return buffer.subarray(0, bytesRead)
}

/** @throws AppError `unsupported-type`. */
const identify = async (path: string): Promise<OriginalFormat> => {
  const sniffed = sniff(await readHead(path))
  if (sniffed.kind === 'refused') throw new AppError('unsupported-type', refusal(sniffed.what))
  return sniffed.format
}

/** libvips names the decoder; ours names the format. Two names for AVIF, one for all else. */
const DECODED_AS: Partial<Record<string, OriginalFormat>> = { heif: 'avif' }

/** Tags of ICC.1:2022 §7 that matter: the description in `desc`, ASCII (v2) or UTF-16BE (v4). */
const SRGB_NAMES = /^(sRGB|sRGB IEC61966-2\.1|sRGB IEC61966-2-1.*|sRGB built-in|sRGB2014|c2)$/

const profileName = (icc: Buffer): string => {
  const tags = icc.length >= 132 ? Math.min(icc.readUInt32BE(128), 100) : 0
  for (let at = 132; at < 132 + tags * 12 && at + 12 <= icc.length; at += 12) {
    if (icc.toString('latin1', at, at + 4) !== 'desc') continue
    const start = icc.readUInt32BE(at + 4)
    const tag = icc.subarray(start, start + Math.min(icc.readUInt32BE(at + 8), 512))
    const text = tag.toString('latin1', 0, 4) === 'mluc' ? tag.toString('latin1', 28) : tag.toString('latin1', 12)
    return text
      .replaceAll('\0', ' ')
      .replace(/\s+/g, tag.toString('latin1', 0, 4) === 'mluc' ? '' : ' ')
      .trim()
  }
  return ''
}

/** A profile by one of sRGB's usual names converts sRGB to sRGB; the names without spaces serve the UTF-16 form. */
export const needsConversion = (icc: Buffer | undefined): boolean => {
  if (!icc) return false
  const name = profileName(icc)
  return !SRGB_NAMES.test(name) && name !== 'sRGBIEC61966-2.1' && name !== 'sRGBbuilt-in'
}

/** @throws AppError `too-large` naming the measure that is over its limit. */
const enforceLimits = (facts: ImageFacts, limits: ImageLimits): void => {
  const { width, height, pages } = facts
  const refuse = (what: string, limit: number): never => {
    throw new AppError('too-large', `the picture has ${what}; the limit is ${limit.toLocaleString('en')}`)
  }
  if (width * height > limits.maxPixels) refuse(`${width}×${height} pixels a page`, limits.maxPixels)
  if (Math.max(width, height) > limits.maxSide) refuse(`a side of ${Math.max(width, height)} pixels`, limits.maxSide)
  if (pages > limits.maxFrames) refuse(`${pages} frames or pages`, limits.maxFrames)
  const total = width * height * pages
  if (facts.animated && total > limits.maxAnimationPixels)
    refuse(`${total} pixels in all frames`, limits.maxAnimationPixels)
}

export const factsOf = (format: OriginalFormat, metadata: Metadata): ImageFacts => {
  const orientation = metadata.orientation ?? 1
  const sideways = orientation >= 5 && orientation <= 8
  const { width, height, pages = 1 } = metadata
  // A drawing always has transparency where nothing is drawn; frames are meant to be played only in these two.
  const animated = pages > 1 && (format === 'gif' || format === 'webp')
  return {
    format,
    width: sideways ? height : width,
    height: sideways ? width : height,
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    pages,
    animated,
    hasAlpha: metadata.hasAlpha,
    colourSpace: metadata.space,
    hasProfile: needsConversion(metadata.icc),
  }
}

/**
 * @throws AppError `unsupported-type` (says what the file is), `undecodable` (its header is broken), `too-large`.
 */
export const probe = async (path: string, limits: ImageLimits): Promise<Probed> => {
  const format = await identify(path)
  const source = await openOriginal({ path, facts: { format, hasProfile: true } })
  const metadata = await source.metadata().catch((cause: unknown) => {
    throw new AppError('undecodable', `the file starts like ${format}, but its header cannot be read`, { cause })
  })
  const decodedAs = DECODED_AS[metadata.format] ?? metadata.format
  if (decodedAs !== format) throw new AppError('undecodable', `the file starts like ${format}, but holds ${decodedAs}`)
  if (format === 'avif' && metadata.compression !== 'av1') {
    throw new AppError('unsupported-type', refusal(`HEIF coded as ${metadata.compression ?? 'something unknown'}`))
  }
  if (!(metadata.width > 0 && metadata.height > 0)) {
    throw new AppError('undecodable', `the ${format} picture has no pixels: ${metadata.width}×${metadata.height}`)
  }
  const facts = factsOf(format, metadata)
  enforceLimits(facts, limits)
  return { facts, ...readShotDetails(metadata.exif) }
}
