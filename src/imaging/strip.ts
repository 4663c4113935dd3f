/**
 * Takes everything out of an original's bytes that is not picture: EXIF, XMP, IPTC, comments, thumbnails, gain maps, trailing
 * data. Lossless and pure; the pixels come out as they were. Each reader keeps a closed list of parts, so that what it does not
 * know is dropped. Used where the picture is sRGB, so colour profiles go too; only a PNG may keep its profile.
 */
import type { OriginalFormat } from '../core/image.ts'
import { stripAvif } from './strip-avif.ts'
import { stripGif } from './strip-gif.ts'
import { stripJpeg } from './strip-jpeg.ts'
import { stripPng } from './strip-png.ts'
import { stripWebp } from './strip-webp.ts'

/** @returns the picture without metadata; undefined where the structure is not sound, or the format has no stripper. */
export const stripMetadata = (format: OriginalFormat, bytes: Buffer): Buffer | undefined => {
  switch (format) {
    case 'jpeg':
      return stripJpeg(bytes)
    case 'png':
      return stripPng(bytes)
    case 'webp':
      return stripWebp(bytes)
    case 'gif':
      return stripGif(bytes)
    case 'avif':
      return stripAvif(bytes)
    case 'tiff':
    case 'svg':
      return undefined
    default:
      return format satisfies never
  }
}
