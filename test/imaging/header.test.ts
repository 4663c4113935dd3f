import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import type { FileEnds } from '../../src/core/file-ends.ts'
import { ORIGINAL_FORMATS, type OriginalFormat } from '../../src/core/image.ts'
import { countSteps, MAX_STEPS } from '../../src/imaging/header/found.ts'
import { type HeaderReading, readHeader } from '../../src/imaging/header/header.ts'
import { DEFAULT_LIMITS } from '../../src/imaging/limits.ts'
import { probe } from '../../src/imaging/probe.ts'
import { SNIFF_BYTES, sniff } from '../../src/imaging/sniff.ts'
import { corners, corpus, scratchFolder } from './pictures.ts'

const whole = (bytes: Buffer): FileEnds => ({ head: bytes, tail: bytes, bytes: bytes.length })
/** As staging keeps a large file. */
const ends = (bytes: Buffer, head = 256 * 1024): FileEnds =>
  bytes.length <= head
    ? whole(bytes)
    : { head: bytes.subarray(0, head), tail: bytes.subarray(-64 * 1024), bytes: bytes.length }

const read = (format: OriginalFormat, file: FileEnds): HeaderReading => readHeader(format, file, DEFAULT_LIMITS)

const formatOf = (bytes: Buffer): OriginalFormat | undefined => {
  const sniffed = sniff(bytes.subarray(0, SNIFF_BYTES))
  return sniffed.kind === 'image' ? sniffed.format : undefined
}

const frames = async (count: number, alpha = 1) => {
  const pictures = Array.from({ length: count }, (_, i) =>
    sharp({ create: { width: 30, height: 20, channels: 4, background: { r: i * 40, g: 9, b: 200, alpha } } })
      .png()
      .toBuffer(),
  )
  return sharp(await Promise.all(pictures), { join: { animated: true } })
}

const shot = { IFD0: { Make: 'Oriel', Model: 'Oriel One' }, IFD2: { DateTimeOriginal: '2024:05:01 12:00:00' } }
const translucent = () => corners(60, 40).ensureAlpha(0.5)
const grey = () => corners(60, 40).greyscale()

/** What the corpus may lack: each way a format can say the same fact. */
const MADE: readonly (readonly [name: string, bytes: () => Promise<Buffer>])[] = [
  ...([1, 3, 6, 8] as const).flatMap((orientation) =>
    (['jpeg', 'png', 'webp', 'avif', 'tiff'] as const).map(
      (format) =>
        [
          `${format} turned by EXIF ${orientation}`,
          () => corners(60, 40).toFormat(format).withMetadata({ orientation, exif: shot }).toBuffer(),
        ] as const,
    ),
  ),
  ...(['jpeg', 'png', 'webp', 'avif'] as const).flatMap((format) => [
    [`${format} in P3`, () => corners(60, 40).toFormat(format).withIccProfile('p3').toBuffer()] as const,
    [
      `${format} with an sRGB profile`,
      () => corners(60, 40).toFormat(format).withIccProfile('srgb').toBuffer(),
    ] as const,
    [`grey ${format}`, () => grey().toColourspace('b-w').toFormat(format).toBuffer()] as const,
  ]),
  ...(['png', 'webp', 'avif', 'gif', 'tiff'] as const).map(
    (format) => [`translucent ${format}`, () => translucent().toFormat(format).toBuffer()] as const,
  ),
  ['progressive JPEG', () => corners(60, 40).jpeg({ progressive: true }).toBuffer()],
  ['CMYK JPEG', () => corners(60, 40).toColourspace('cmyk').jpeg().toBuffer()],
  ['4:4:4 JPEG', () => corners(60, 40).jpeg({ chromaSubsampling: '4:4:4' }).toBuffer()],
  ['PNG of 16 bits', () => corners(60, 40).toColourspace('rgb16').png().toBuffer()],
  ['grey PNG of 16 bits', () => grey().toColourspace('grey16').png().toBuffer()],
  ['PNG with a palette', () => corners(60, 40).png({ palette: true }).toBuffer()],
  ['PNG with a translucent palette', () => translucent().png({ palette: true }).toBuffer()],
  ['PNG with a palette of two colours', () => corners(60, 40).png({ palette: true, colours: 2 }).toBuffer()],
  ['interlaced PNG', () => corners(60, 40).png({ progressive: true }).toBuffer()],
  ['lossless WebP', () => corners(60, 40).webp({ lossless: true }).toBuffer()],
  ['translucent lossless WebP', () => translucent().webp({ lossless: true }).toBuffer()],
  ['lossless AVIF', () => corners(60, 40).avif({ lossless: true }).toBuffer()],
  ['AVIF of 10 bits', () => corners(60, 40).avif({ bitdepth: 10 }).toBuffer()],
  ...(['gif', 'webp'] as const).flatMap((format) => [
    [`${format} of three frames`, async () => (await frames(3)).toFormat(format).toBuffer()] as const,
    [`translucent ${format} of two frames`, async () => (await frames(2, 0.4)).toFormat(format).toBuffer()] as const,
  ]),
  ['a screen that decoders doubt', () => corners(640, 480).gif().toBuffer()],
]

/** Formats that our own readers know; of these an ordinary file must not need a renderer. */
const READ_HERE: readonly OriginalFormat[] = ['jpeg', 'png', 'webp', 'gif', 'avif']

describe('a header read here says what libvips says', () => {
  it.for(MADE)('of %s', async ([name, make]) => {
    await using scratch = await scratchFolder()
    const bytes = await make()
    const format = formatOf(bytes)
    if (!format) return expect.unreachable()
    const reading = read(format, whole(bytes))
    const theirs = await probe(await scratch.write('made', bytes), DEFAULT_LIMITS)
    if (READ_HERE.includes(format) && !name.includes('doubt')) expect(reading).toEqual({ kind: 'sure', probed: theirs })
    else expect(reading).toEqual({ kind: 'unsure' })
  })

  it.for(['valid', 'photos', 'graphics', 'animated', 'hostile'])(
    'of every file of corpus/%s that it is sure of',
    async (folder) => {
      const sure = { yes: 0, no: 0 }
      for (const path of corpus(folder)) {
        const bytes = readFileSync(path)
        const format = formatOf(bytes)
        for (const file of format ? [whole(bytes), ends(bytes)] : []) {
          const reading = read(format ?? 'jpeg', file)
          if (folder !== 'hostile') expect(reading, basename(path)).not.toHaveProperty('missing')
          sure[reading.kind === 'sure' ? 'yes' : 'no'] += 1
          if (reading.kind === 'unsure') continue
          expect(reading.probed, basename(path)).toEqual(await probe(path, DEFAULT_LIMITS))
        }
      }
      if (folder === 'photos') expect(sure.no).toBe(0)
    },
  )

  it('leaves to the renderer what is over a limit', async () => {
    const bytes = await corners(60, 40).jpeg().toBuffer()
    expect(readHeader('jpeg', whole(bytes), { ...DEFAULT_LIMITS, maxPixels: 100 })).toEqual({ kind: 'unsure' })
  })
})

describe('a file that seems cut short', () => {
  const noisy = () =>
    sharp({
      create: {
        width: 90,
        height: 60,
        channels: 3,
        background: '#369',
        noise: { type: 'gaussian', mean: 128, sigma: 30 },
      },
    })

  it.for([
    ['jpeg', 'the end-of-image marker'],
    ['png', 'the IEND chunk'],
    ['webp', 'bytes that its RIFF header promises'],
    ['avif', 'bytes that its boxes promise'],
  ] as const)('is told by what a %s lacks, whole or by its ends', async ([format, missing]) => {
    const bytes = await noisy().toFormat(format).toBuffer()
    for (const cut of [1, 12, Math.floor(bytes.length / 2)]) {
      const short = bytes.subarray(0, -cut)
      for (const file of [whole(short), ends(short, Math.floor(short.length * 0.9))])
        expect(read(format, file)).toMatchObject({ kind: 'unsure', missing: expect.stringContaining(missing) })
    }
  })

  it.for(['jpeg', 'png', 'webp', 'gif'] as const)('is no %s with anything behind its end', async (format) => {
    const bytes = await noisy().toFormat(format).toBuffer()
    const trailing = Buffer.concat([bytes, Buffer.alloc(5000, 7)])
    expect(read(format, whole(trailing))).toEqual(read(format, whole(bytes)))
    expect(read(format, whole(bytes)).kind).toBe('sure')
  })
})

describe('hostile headers', () => {
  const seeds: Buffer[] = []
  const load = async (): Promise<Buffer[]> => {
    if (seeds.length === 0) {
      seeds.push(...(await Promise.all(MADE.map(([, make]) => make()))))
      const files = ['valid', 'animated', 'hostile']
        .flatMap((folder) => corpus(folder))
        .map((path) => readFileSync(path))
      seeds.push(...files.filter((bytes) => bytes.length < 200_000))
    }
    return seeds
  }

  /** Bytes, numbers of all sizes at their extremes, cuts and repetitions: what the fields of a header can be made of. */
  const damage = fc.array(
    fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }).map((x) => x ** 4),
      patch: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        fc
          .constantFrom('ffffffff', '7fffffff', '80000000', '00000000', 'ffff', '0000', '00000001', 'fffffff8', 'ff')
          .map((hex) => Buffer.from(hex, 'hex')),
      ),
      cut: fc.integer({ min: 0, max: 20 }).map((n) => n === 0),
    }),
    { minLength: 1, maxLength: 6 },
  )

  it('never throw, and never take more than the bounded steps', async () => {
    const bases = await load()
    let most = 0
    fc.assert(
      fc.property(fc.nat(bases.length - 1), damage, fc.boolean(), (index, faults, asEnds) => {
        let bytes: Buffer = Buffer.from(bases[index] ?? Buffer.alloc(0))
        const before = formatOf(bytes)
        for (const { at, patch, cut } of faults) {
          const offset = Math.floor(at * bytes.length)
          if (cut) bytes = bytes.subarray(0, offset)
          else bytes.set(patch.subarray(0, bytes.length - offset), offset)
        }
        for (const format of new Set([before ?? 'jpeg', formatOf(bytes) ?? 'png'])) {
          const steps = countSteps()
          const reading = readHeader(format, asEnds ? ends(bytes, 1000) : whole(bytes), DEFAULT_LIMITS, steps)
          most = Math.max(most, steps.taken())
          if (reading.kind === 'sure') {
            const { width, height, pages, orientation } = reading.probed.facts
            expect(Math.min(width, height, pages, orientation)).toBeGreaterThan(0)
          }
        }
      }),
      { numRuns: 4000 },
    )
    expect(most).toBeLessThanOrEqual(MAX_STEPS + 1)
  })

  it('of random bytes are never sure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(...ORIGINAL_FORMATS), (bytes, format) => {
        expect(read(format, whole(Buffer.from(bytes))).kind).toBe('unsure')
      }),
    )
  })

  it('that ask for more steps than there are bytes are given up', () => {
    const gif = Buffer.concat([
      Buffer.from('GIF89a\x0a\0\x0a\0\0\0\0', 'latin1'),
      Buffer.from('21fe00'.repeat(80_000), 'hex'),
    ])
    const steps = countSteps()
    expect(readHeader('gif', whole(gif), DEFAULT_LIMITS, steps)).toEqual({ kind: 'unsure' })
    expect(steps.taken()).toBe(MAX_STEPS + 1)
  })
})
