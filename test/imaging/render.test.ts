import { basename } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { OUTPUT_FORMATS } from '../../src/core/image.ts'
import { DEFAULT_LIMITS } from '../../src/imaging/limits.ts'
import { probe } from '../../src/imaging/probe.ts'
import {
  colourAt,
  corners,
  corpus,
  distance,
  hasCorpus,
  type Pixels,
  pixelsOf,
  renderFile,
  scratchFolder,
} from './pictures.ts'

const RED = [255, 0, 0]
const GREEN = [0, 255, 0]
const BLUE = [0, 0, 255]
const WHITE = [255, 255, 255]

/** Lossy codecs and chroma subsampling move a flat colour by a few steps. */
const NEAR = 24
const expectCorners = (pixels: Pixels, [a, b, c, d]: readonly number[][]): void => {
  const seen = [
    colourAt(pixels, 0.1, 0.1),
    colourAt(pixels, 0.9, 0.1),
    colourAt(pixels, 0.1, 0.9),
    colourAt(pixels, 0.9, 0.9),
  ]
  for (const [i, wanted] of [a, b, c, d].entries()) {
    expect(
      Math.max(...(wanted ?? []).map((value, k) => Math.abs(value - (seen[i]?.[k] ?? 0)))),
      `corner ${i}: ${seen[i]}`,
    ).toBeLessThan(NEAR)
  }
}

const ORIENTATIONS = [1, 2, 3, 4, 5, 6, 7, 8]
/** The same picture, stored so that orientation `o` shows it upright. */
const storedAs = async (o: number, width = 80, height = 60): Promise<Buffer> => {
  const undo = [[], ['flop'], [180], [180, 'flop'], [90, 'flop'], [270], [270, 'flop'], [90]][o - 1] ?? []
  let image = sharp(await corners(width, height).png().toBuffer())
  for (const step of undo) {
    image = sharp(await (step === 'flop' ? image.flop() : image.rotate(Number(step))).png().toBuffer())
  }
  return image.withMetadata({ orientation: o }).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer()
}

describe('orientation', () => {
  it.for(ORIENTATIONS.flatMap((o) => OUTPUT_FORMATS.map((format) => [o, format] as const)))(
    'shows EXIF orientation %i upright as %s',
    async ([o, format]) => {
      await using scratch = await scratchFolder()
      const path = await scratch.write('a.jpg', await storedAs(o))
      const { bytes, facts } = await renderFile(path, { format, width: 40 })
      expect([facts.width, facts.height]).toEqual([40, 30])
      expectCorners(await pixelsOf(bytes), [RED, GREEN, BLUE, WHITE])
    },
  )

  it.for(ORIENTATIONS)('cuts a crop of upright pixels, then turns it, whatever orientation %i', async (o) => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.jpg', await storedAs(o))
    const crop = { left: 40, top: 0, width: 40, height: 60 }
    const turned = await pixelsOf((await renderFile(path, { crop, rotate: 90 })).bytes)
    expect([turned.width, turned.height]).toEqual([60, 40])
    expectCorners(turned, [WHITE, GREEN, WHITE, GREEN])
    const flipped = await pixelsOf((await renderFile(path, { flip: true, rotate: 270, width: 30 })).bytes)
    expectCorners(flipped, [WHITE, GREEN, BLUE, RED])
    const focus = await pixelsOf(
      (await renderFile(path, { width: 20, height: 60, fit: 'cover', gravity: { x: 0, y: 0 }, flop: true })).bytes,
    )
    expectCorners(focus, [RED, RED, BLUE, BLUE])
  })

  it.runIf(corpus('valid').length)('makes the eight real orientations look alike', async () => {
    const rendered = await Promise.all(
      corpus('valid', /orient-landscape/).map((path) => renderFile(path, { width: 300 })),
    )
    const [first, ...others] = await Promise.all(rendered.map(({ bytes }) => pixelsOf(bytes)))
    for (const other of others) expect(first && distance(first, other)).toBeLessThan(6)
  })
})

describe('fits', () => {
  it.runIf(hasCorpus)('turns an AVIF that says itself how it is turned, once', async () => {
    for (const path of corpus('valid', /avif-orientation-6/)) {
      const [png, avif] = await Promise.all([
        renderFile(path, { width: 60 }),
        renderFile(path, { width: 60, format: 'avif' }),
      ])
      expect(distance(await pixelsOf(png.bytes), await pixelsOf(avif.bytes))).toBeLessThan(8)
    }
  })

  it('lays contain on bars of the colour asked for, transparent otherwise', async () => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.png', await corners(80, 40).png().toBuffer())
    const asked = { width: 40, height: 40, fit: 'contain' } as const
    const barred = await pixelsOf(
      (await renderFile(path, { ...asked, background: { r: 9, g: 99, b: 199, alpha: 1 } })).bytes,
    )
    expect(colourAt(barred, 0.5, 0.05)).toEqual([9, 99, 199])
    const { hasAlpha } = await sharp((await renderFile(path, asked)).bytes).metadata()
    expect(hasAlpha).toBe(true)
    const jpeg = await pixelsOf((await renderFile(path, { ...asked, format: 'jpeg' })).bytes)
    expect(colourAt(jpeg, 0.5, 0.05)).toEqual(WHITE)
  })

  it.for(['attention', 'entropy'] as const)('finds by %s where the picture is busy', async (gravity) => {
    await using scratch = await scratchFolder()
    const busy = await sharp({
      create: {
        width: 100,
        height: 100,
        channels: 3,
        background: 'red',
        noise: { type: 'gaussian', mean: 128, sigma: 60 },
      },
    })
      .png()
      .toBuffer()
    const grey = sharp({ create: { width: 400, height: 100, channels: 3, background: '#888' } })
    const path = await scratch.write(
      'a.png',
      await grey
        .composite([{ input: busy, left: 290, top: 0 }])
        .png()
        .toBuffer(),
    )
    const found = sharp((await renderFile(path, { width: 100, height: 100, fit: 'cover', gravity })).bytes)
    expect((await found.stats()).channels[0]?.stdev).toBeGreaterThan(35)
  })

  it('gives the same bytes for the same plan', async () => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.png', await corners(80, 40).png().toBuffer())
    for (const format of OUTPUT_FORMATS) {
      const [a, b] = await Promise.all([
        renderFile(path, { format, width: 33 }),
        renderFile(path, { format, width: 33 }),
      ])
      expect(a.facts).toEqual(b.facts)
    }
  })
})

describe('colours', () => {
  it.for(['tiff', 'jpeg'] as const)('turns CMYK %s into sRGB', async (format) => {
    await using scratch = await scratchFolder()
    const cmyk = await corners(40, 40)
      .toColourspace('cmyk')
      .withIccProfile('cmyk')
      .toFormat(format, { quality: 95 })
      .toBuffer()
    const pixels = await pixelsOf(
      (await renderFile(await scratch.write('a', cmyk), { format: 'webp', quality: 'high' })).bytes,
    )
    const [r = 0, g = 0, b = 0] = colourAt(pixels, 0.1, 0.1)
    // Red at the edge of what ink can print.
    expect(r > 180 && g < 80 && b < 80, `${r},${g},${b}`).toBe(true)
    expect(colourAt(pixels, 0.9, 0.9).every((value) => value > 245)).toBe(true)
  })

  it.for([8, 16])('converts %i-bit Display P3 to the sRGB that looks alike', async (depth) => {
    await using scratch = await scratchFolder()
    const source = corners(40, 40).linear(0.6, 40)
    const wide = depth === 16 ? source.toColourspace('rgb16').withIccProfile('p3') : source.withIccProfile('p3')
    const bytes = await wide.png().toBuffer()
    const pixels = await pixelsOf(
      (await renderFile(await scratch.write('a.png', bytes), { format: 'png', width: 20 })).bytes,
    )
    const expected = await pixelsOf(await corners(40, 40).linear(0.6, 40).resize(20).png().toBuffer())
    expect(distance(pixels, expected)).toBeLessThan(2)
  })

  it('brings linear 16-bit ACEScg to sRGB as the matrices of the two spaces say', async () => {
    for (const path of corpus('valid', /acescg_g1/)) {
      const { data, info } = await sharp(path, { ignoreIcc: true })
        .toColourspace('rgb16')
        .raw({ depth: 'ushort' })
        .toBuffer({ resolveWithObject: true })
      const linear = new Uint16Array(data.buffer, data.byteOffset, data.length / 2)
      // AP1 (D60) to linear sRGB (D65), Bradford: the matrix that the ACES project publishes.
      const matrix = [
        [1.70505, -0.62179, -0.08326],
        [-0.13026, 1.1408, -0.01055],
        [-0.024, -0.12897, 1.15297],
      ]
      const encode = (v: number): number =>
        255 * (v <= 0.0031308 ? 12.92 * Math.max(0, v) : 1.055 * Math.min(1, v) ** (1 / 2.4) - 0.055)
      const mean = [0, 0, 0]
      const pixels = info.width * info.height
      for (let i = 0; i < pixels; i += 1) {
        for (const [c, row] of matrix.entries()) {
          const value = row.reduce(
            (sum, factor, k) => sum + factor * ((linear[i * info.channels + k] ?? 0) / 65_535),
            0,
          )
          mean[c] = (mean[c] ?? 0) + encode(value) / pixels
        }
      }
      const { channels } = await sharp((await renderFile(path, {})).bytes).stats()
      for (const [c, wanted] of mean.entries())
        expect(Math.abs((channels[c]?.mean ?? 0) - wanted), `channel ${c}`).toBeLessThan(4)
    }
  })

  it.for(['png8', 'grey', 'grey16', 'alpha'])('keeps the colours of %s', async (kind) => {
    await using scratch = await scratchFolder()
    const source = corners(40, 40)
    const stored = {
      png8: () => source.png({ palette: true }),
      grey: () => source.greyscale().toColourspace('b-w').png(),
      grey16: () => source.greyscale().toColourspace('grey16').png(),
      alpha: () => source.ensureAlpha(0.5).png(),
    }[kind]
    const bytes = await stored?.().toBuffer()
    if (!bytes) throw new Error(kind)
    const path = await scratch.write('a.png', bytes)
    const wanted = await pixelsOf(await sharp(bytes).flatten({ background: 'white' }).resize(20, 20).png().toBuffer())
    for (const format of ['webp', 'png', 'avif'] as const) {
      const made = await pixelsOf((await renderFile(path, { format, width: 20, quality: 'high' })).bytes)
      expect(distance(made, wanted), format).toBeLessThan(10)
    }
  })
})

describe('privacy', () => {
  it.for(OUTPUT_FORMATS)('leaves no metadata in a variant as %s', async (format) => {
    await using scratch = await scratchFolder()
    const private_ = 'Seekrit Street 1'
    const bytes = await corners(60, 40)
      .withExif({ IFD0: { Copyright: private_ }, IFD3: { GPSLatitude: '51/1 30/1 0/1' } })
      .withXmp(`<x>${private_}</x>`)
      .jpeg()
      .toBuffer()
    const path = await scratch.write('a.jpg', bytes)
    for (const width of [60, 30]) {
      const made = (await renderFile(path, { format, width })).bytes
      const { exif, xmp, iptc, icc } = await sharp(made).metadata()
      expect([exif, xmp, iptc, icc]).toEqual([undefined, undefined, undefined, undefined])
      expect(made.includes(private_)).toBe(false)
    }
  })

  it('leaves no metadata of real pictures in their variants', async () => {
    for (const path of corpus('valid', /exiftool|gainmap|extended_xmp|empty_gps|xmp_tags/)) {
      for (const format of ['jpeg', 'webp'] as const) {
        const made = (await renderFile(path, { format, alternatives: ['jpeg', 'png'] })).bytes
        const { exif, xmp, iptc } = await sharp(made).metadata()
        expect([exif, xmp, iptc], basename(path)).toEqual([undefined, undefined, undefined])
        for (const trace of ['GPS', 'Exif', 'hdrgm', 'MPF'])
          expect(made.includes(trace), `${basename(path)}: ${trace}`).toBe(false)
      }
    }
  })
})

describe('animation', () => {
  const animation = async (frames = 3): Promise<Buffer> => {
    const pictures = Array.from({ length: frames }, (_, i) =>
      corners(40, 30)
        .linear(1 - i / 10, 0)
        .png()
        .toBuffer(),
    )
    return sharp(await Promise.all(pictures), { join: { animated: true } })
      .gif({ delay: [100, 200, 300], loop: 2 })
      .toBuffer()
  }

  it.for([
    ['gif', {}, 3],
    ['webp', { width: 20 }, 3],
    ['webp', { rotate: 90 }, 3],
    ['gif', { flip: true, blur: 1 }, 3],
    ['webp', { width: 20, height: 20, fit: 'cover', gravity: 'attention' }, 3],
    ['webp', { width: 20, height: 20, fit: 'contain' }, 3],
    ['webp', { crop: { left: 0, top: 0, width: 20, height: 15 } }, 3],
    ['avif', {}, 1],
    ['jpeg', {}, 1],
    ['webp', { page: 1 }, 1],
  ] as const)('renders as %s with %j in %i pages', async ([format, asked, pages]) => {
    await using scratch = await scratchFolder()
    const { bytes, facts } = await renderFile(await scratch.write('a.gif', await animation()), { format, ...asked })
    const { pages: written = 1, delay, loop, width, height } = await sharp(bytes).metadata()
    expect([facts.pages, written]).toEqual([pages, pages])
    if (pages === 3) expect([delay, loop, width, height]).toEqual([[100, 200, 300], 2, facts.width, facts.height])
  })

  it('turns every frame by itself', async () => {
    await using scratch = await scratchFolder()
    const { bytes } = await renderFile(await scratch.write('a.gif', await animation()), {
      format: 'webp',
      quality: 'high',
      flip: true,
    })
    for (const page of [0, 1, 2]) {
      const frame = await sharp(bytes, { page }).png().toBuffer()
      const [r = 0, , b = 0] = colourAt(await pixelsOf(frame), 0.1, 0.1)
      expect(b > r, `frame ${page}`).toBe(true)
    }
  })

  it('renders only the first frame of one that is over the frame budget', async () => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.gif', await animation())
    expect((await renderFile(path, { format: 'webp' }, { frameBudgetPixels: 3000 })).facts.pages).toBe(1)
  })

  it('refuses a page that is not there', async () => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.gif', await animation())
    await expect(renderFile(path, { page: 3 })).rejects.toMatchObject({ kind: 'bad-request' })
  })
})

describe('drawings', () => {
  const SVG =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" width="10" height="10"><path d="M0 0h5v10h-5z" fill="red"/></svg>'

  it('are drawn at the size asked for, crisp, also when cropped', async () => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.svg', Buffer.from(SVG))
    for (const crop of [undefined, { left: 4, top: 0, width: 2, height: 2 }]) {
      const { bytes, facts } = await renderFile(path, { width: 200, ...(crop && { crop }) })
      expect([facts.width, facts.height]).toEqual([200, 200])
      const pixels = await pixelsOf(bytes)
      expect(colourAt(pixels, 0.49, 0.5)).toEqual(RED)
      expect(colourAt(pixels, 0.51, 0.5)).toEqual(WHITE)
    }
  })

  it('load nothing from outside themselves', async () => {
    await using scratch = await scratchFolder()
    await scratch.write('secret.png', await corners(10, 10).png().toBuffer())
    const inside = ['secret.png', './secret.png', 'file:///etc/hostname'].map(
      (href) => `<image href="${href}" width="10" height="10"/>`,
    )
    const path = await scratch.write('a.svg', Buffer.from(SVG.replace(/<path.*\/>/, inside.join(''))))
    const { channels } = await sharp((await renderFile(path, { width: 50 })).bytes).stats()
    expect(channels.at(-1)?.max).toBe(0)
  })
})

describe('probing', () => {
  it('tells what the owner wants to know of EXIF, and turns the size upright', async () => {
    await using scratch = await scratchFolder()
    const exif = {
      IFD0: { Make: 'Canon', Model: 'Canon EOS R5', Orientation: '6' },
      IFD2: { DateTimeOriginal: '2024:05:06 07:08:09', OffsetTimeOriginal: '+02:00' },
      IFD3: { GPSLatitude: '51/1 30/1 0/1', GPSLatitudeRef: 'N', GPSLongitude: '0/1 7/1 30/1', GPSLongitudeRef: 'W' },
    }
    const path = await scratch.write(
      'a.jpg',
      await corners(60, 40).withExif(exif).withMetadata({ orientation: 6 }).withExifMerge(exif).jpeg().toBuffer(),
    )
    const { facts, ...shot } = await probe(path, DEFAULT_LIMITS)
    expect(facts).toMatchObject({ format: 'jpeg', width: 40, height: 60, orientation: 6, pages: 1, animated: false })
    expect(shot.takenAt).toBe('2024-05-06T05:08:09.000Z')
    expect(shot.camera).toBe('Canon EOS R5')
    expect(shot.location?.latitude).toBeCloseTo(51.5)
    expect(shot.location?.longitude).toBeCloseTo(-0.125)
  })

  it.for([
    [{ maxPixels: 100 }, 'pixels a page'],
    [{ maxSide: 50 }, 'a side of 60 pixels'],
  ] as const)('refuses what is over %j', async ([limits, words]) => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.png', await corners(60, 40).png().toBuffer())
    const refused = probe(path, { ...DEFAULT_LIMITS, ...limits })
    await expect(refused).rejects.toMatchObject({ kind: 'too-large', message: expect.stringContaining(words) })
  })

  it('takes an sRGB profile for none, and any other for one to convert from', async () => {
    await using scratch = await scratchFolder()
    for (const [profile, hasProfile] of [
      ['srgb', false],
      ['p3', true],
    ] as const) {
      const path = await scratch.write('a.png', await corners(8, 8).withIccProfile(profile).png().toBuffer())
      expect((await probe(path, DEFAULT_LIMITS)).facts.hasProfile, profile).toBe(hasProfile)
    }
  })
})
