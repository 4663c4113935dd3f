/**
 * Facts of an ordinary file from its header alone, in this process: no decoder, bounded steps, every offset checked. It never
 * refuses a picture: where it is not sure of what the decoder would say, a renderer process is asked.
 */
import type { FileEnds } from '../../core/file-ends.ts'
import type { OriginalFormat } from '../../core/image.ts'
import { readShotDetails } from '../exif.ts'
import { readExifTags, TAG } from '../exif-tags.ts'
import { enforceLimits, factsOf } from '../facts.ts'
import type { ImageLimits } from '../limits.ts'
import type { Probed } from '../renderer-port.ts'
import { readAvif } from './avif.ts'
import { countSteps, type Found, type ReadFormat } from './found.ts'
import { readGif } from './gif.ts'
import { readJpeg } from './jpeg.ts'
import { readPng } from './png.ts'
import { readWebp } from './webp.ts'

export type HeaderReading =
  | { readonly kind: 'sure'; readonly probed: Probed }
  /** `missing`: a part without which the file looks cut short; only decoding it tells. */
  | { readonly kind: 'unsure'; readonly missing?: string }

/** Drawings are text to be parsed, and TIFF is a family of formats: both stay with libvips. */
const READERS: Readonly<Partial<Record<OriginalFormat, ReadFormat>>> = {
  jpeg: readJpeg,
  png: readPng,
  webp: readWebp,
  gif: readGif,
  avif: readAvif,
}

const UNSURE: HeaderReading = { kind: 'unsure' }

/** @param steps counts, and bounds, the turns of every loop. Never throws. */
export const readHeader = (
  format: OriginalFormat,
  file: FileEnds,
  limits: ImageLimits,
  steps = countSteps(),
): HeaderReading => {
  try {
    const found = READERS[format]?.(file, steps.step)
    if (!found) return UNSURE
    if ('missing' in found) return { kind: 'unsure', missing: found.missing }
    return describe(format, found, limits)
  } catch {
    // A read beyond the end, too many steps, a profile that does not inflate, a limit passed: the renderer says what it is.
    return UNSURE
  }
}

const describe = (format: OriginalFormat, found: Found, limits: ImageLimits): HeaderReading => {
  const orientation = found.upright || !found.exif ? 1 : orientationOf(found.exif)
  if (orientation === undefined) return UNSURE
  const facts = factsOf(format, { ...found, orientation })
  enforceLimits(facts, limits)
  return { kind: 'sure', probed: { facts, ...readShotDetails(found.exif) } }
}

/** Undefined where decoders differ in what they make of it. */
const orientationOf = (exif: Buffer): number | undefined => {
  const tags = readExifTags(exif)
  if (!tags) return undefined
  const value = tags.image.get(TAG.orientation)
  if (!tags.image.has(TAG.orientation)) return 1
  const [orientation = 0] = Array.isArray(value) && value.length === 1 ? value : []
  return orientation >= 1 && orientation <= 8 ? orientation : undefined
}
