/** The pictures that are uploaded: one photo of the peers' size, and copies of it that differ only in a comment. */
import { readFile } from 'node:fs/promises'
import sharp from 'sharp'

const PHOTO = new URL('../test/fixtures/photo.jpg', import.meta.url)

/** JPEG T.81 §B.2.4.5: marker FF FE, then a length that counts its own two bytes. */
const COMMENT_MARKER = 0xfffe
const COMMENT_BYTES = 16
const START_OF_IMAGE_BYTES = 2

/** @returns the picture with a comment behind its first marker: other bytes, other hash, the very same work to decode. */
export const numberedJpeg = (jpeg: Uint8Array, number: number): Buffer => {
  const segment = Buffer.alloc(4 + COMMENT_BYTES)
  segment.writeUInt16BE(COMMENT_MARKER, 0)
  segment.writeUInt16BE(2 + COMMENT_BYTES, 2)
  segment.write(String(number).padStart(COMMENT_BYTES, '0'), 4, 'latin1')
  return Buffer.concat([jpeg.subarray(0, START_OF_IMAGE_BYTES), segment, jpeg.subarray(START_OF_IMAGE_BYTES)])
}

/**
 * The fixture photo at the given size, at the quality that comes nearest to `bytes`.
 * Bytes matter: entropy decoding is a third of what a cold render costs.
 */
export const makeJpeg = async (width: number, height: number, bytes: number): Promise<Buffer> => {
  const pixels = await sharp(await readFile(PHOTO))
    .resize(width, height, { fit: 'cover' })
    .raw()
    .toBuffer({ resolveWithObject: true })
  let [low, high] = [1, 100]
  let nearest = Buffer.alloc(0)
  while (low <= high) {
    const quality = (low + high) >> 1
    const made = await sharp(pixels.data, { raw: pixels.info }).jpeg({ quality }).toBuffer()
    if (Math.abs(made.length - bytes) < Math.abs(nearest.length - bytes)) nearest = made
    if (made.length < bytes) low = quality + 1
    else high = quality - 1
  }
  return nearest
}

/** As in `peers-baseline`: JPEG 2725×2225, 0.83 MB. */
export const LARGE = { width: 2725, height: 2225, bytes: 830_000 } as const
