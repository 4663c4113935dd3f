import readExif from 'exif-reader'
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { readShotDetails } from '../../src/imaging/exif.ts'
import { readExifTags, TAG } from '../../src/imaging/exif-tags.ts'
import { corners, corpus } from './pictures.ts'

const exifOf = async (input: Buffer | string): Promise<Buffer | undefined> =>
  (
    await sharp(input, { limitInputPixels: false })
      .metadata()
      .catch(() => undefined)
  )?.exif

const made = async (): Promise<Buffer> => {
  const exif = {
    IFD0: { Make: 'Canon', Model: 'Canon EOS R5' },
    IFD2: { DateTimeOriginal: '2024:05:01 12:00:00', OffsetTimeOriginal: '+02:00' },
    IFD3: {
      GPSLatitudeRef: 'S',
      GPSLatitude: '33/1 51/1 3000/100',
      GPSLongitudeRef: 'E',
      GPSLongitude: '151/1 12/1 0/1',
    },
  }
  const jpeg = await corners(20, 10).jpeg().withMetadata({ exif, orientation: 6 }).toBuffer()
  return (await exifOf(jpeg)) ?? Buffer.alloc(0)
}

describe('EXIF', () => {
  it('tells when, where and with what', async () => {
    const { location, ...rest } = readShotDetails(await made())
    expect(rest).toEqual({ takenAt: '2024-05-01T10:00:00.000Z', camera: 'Canon EOS R5' })
    expect(location?.latitude).toBeCloseTo(-33.8583, 3)
    expect(location?.longitude).toBeCloseTo(151.2, 6)
  })

  it('reads the tags that another reader reads, in every file of the corpus', async () => {
    for (const path of [...corpus('photos'), ...corpus('valid'), ...corpus('hostile')]) {
      const exif = await exifOf(path)
      if (!exif) continue
      const ours = readExifTags(exif)
      const theirs = (() => {
        try {
          return readExif(exif)
        } catch {
          return undefined
        }
      })()
      const orientation = theirs?.Image?.Orientation
      expect(ours?.image.get(TAG.orientation)?.[0], path).toBe(
        typeof orientation === 'number' ? orientation : undefined,
      )
      for (const [tag, name] of [
        [TAG.make, 'Make'],
        [TAG.model, 'Model'],
      ] as const) {
        const text = theirs?.Image?.[name]
        if (typeof text === 'string') expect(ours?.image.get(tag), path).toBe(text)
      }
    }
  })

  it('never throws, whatever is in it', async () => {
    const base = await made()
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 12 }),
        fc.nat(base.length),
        (faults, length) => {
          const exif = Buffer.from(base)
          for (const [at, byte] of faults) exif[at] = byte
          readShotDetails(exif.subarray(0, length))
        },
      ),
      { numRuns: 2000 },
    )
  })
})
