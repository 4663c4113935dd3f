/** CONTRACT §1: a variant is never larger in bytes than the same pixels of the original would be. */
import { statSync } from 'node:fs'
import sharp, { type Sharp } from 'sharp'
import { describe, expect, it } from 'vitest'
import { compact, hasFewColours } from '../../src/imaging/png.ts'
import { corpus, distance, pixelsOf, renderFile, scratchFolder } from './pictures.ts'

/** Soft shapes with a little noise: what a photograph is to an encoder. */
const photo = (width: number, height: number): Sharp => {
  const shapes = Array.from(
    { length: 30 },
    (_, i) =>
      `<circle cx="${(i * 97) % width}" cy="${(i * 61) % height}" r="${20 + ((i * 13) % 90)}" fill="hsl(${i * 37},60%,50%)"/>`,
  )
  const drawn = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes.join('')}</svg>`
  return sharp(Buffer.from(drawn)).flatten({ background: '#8ab' }).blur(4)
}

/** Flat colours with sharp edges: `strokes` thin lines on white. */
const drawing = (width: number, height: number, strokes: number): Sharp => {
  const lines = Array.from(
    { length: strokes },
    (_, i) =>
      `<path d="M${(i * 53) % width} 0L${(i * 91) % width} ${height}" stroke="${['#000', '#036', '#900'][i % 3]}"/>`,
  )
  const drawn = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${lines.join('')}</svg>`
  return sharp(Buffer.from(drawn)).flatten({ background: 'white' })
}

describe('the promise that a variant is never larger than the original would be', () => {
  it('answers the original without its metadata where that is smaller', async () => {
    await using scratch = await scratchFolder()
    const poor = await sharp({
      create: {
        width: 200,
        height: 200,
        channels: 3,
        background: 'red',
        noise: { type: 'gaussian', mean: 128, sigma: 30 },
      },
    })
      .withExif({ IFD0: { Copyright: 'me' } })
      .jpeg({ quality: 10 })
      .toBuffer()
    const path = await scratch.write('a.jpg', poor)
    const same = await renderFile(path, { format: 'jpeg' })
    expect(same.bytes.length).toBeLessThan(poor.length)
    expect(distance(await pixelsOf(same.bytes), await pixelsOf(poor))).toBe(0)
    const negotiated = await renderFile(path, { format: 'webp', alternatives: ['jpeg', 'png'] })
    expect(negotiated.facts.format).toBe('jpeg')
    expect((await renderFile(path, { format: 'webp' })).facts.format).toBe('webp')
  })

  it('answers in the original format where that suits the picture better', async () => {
    await using scratch = await scratchFolder()
    const chequers = await sharp(Buffer.from(Array.from({ length: 64 * 64 }, (_, i) => (((i >> 6) ^ i) & 1) * 255)), {
      raw: { width: 64, height: 64, channels: 1 },
    })
      .resize(512, 512, { kernel: 'nearest' })
      .png({ palette: true, colours: 2 })
      .toBuffer()
    const path = await scratch.write('a.png', chequers)
    const { facts, bytes } = await renderFile(path, {
      format: 'avif',
      width: 256,
      alternatives: ['webp', 'jpeg', 'png'],
    })
    const avif = await renderFile(path, { format: 'avif', width: 256 })
    expect(bytes.length).toBeLessThanOrEqual(avif.bytes.length)
    expect(['png', 'avif']).toContain(facts.format)
  })

  it.for(corpus('valid', /(hopper|palette|pngsuite|cat\.jpg|libwebp|orient-landscape-1)/))(
    'holds for %s',
    async (path) => {
      const { bytes } = await renderFile(path, { format: 'webp', alternatives: ['jpeg', 'png', 'gif'] })
      expect(bytes.length).toBeLessThanOrEqual(statSync(path).size)
    },
  )

  it('answers an AVIF of few bytes as it is, without its metadata', async () => {
    await using scratch = await scratchFolder()
    const poor = await photo(800, 600)
      .withExif({ IFD0: { Copyright: 'Seekrit' } })
      .avif({ quality: 20 })
      .toBuffer()
    const path = await scratch.write('a.avif', poor)
    for (const alternatives of [[], ['webp', 'jpeg', 'png']] as const) {
      const { bytes, facts } = await renderFile(path, { format: 'avif', alternatives })
      expect(bytes.length).toBeLessThan(poor.length)
      expect(bytes.includes('Seekrit')).toBe(false)
      expect(facts).toMatchObject({ format: 'avif', width: 800, height: 600 })
      expect(distance(await pixelsOf(bytes), await pixelsOf(poor))).toBe(0)
    }
  })

  it.for([
    ['of 16 bits', 1, (image: Sharp) => image.toColourspace('rgb16')],
    ['with a profile to convert from', 1, (image: Sharp) => image.withIccProfile('p3')],
    ['that lies on its side', 6, (image: Sharp) => image.withMetadata({ orientation: 6 })],
  ] as const)('holds for a well-packed PNG %s', async ([, orientation, store]) => {
    await using scratch = await scratchFolder()
    const packed = await store(drawing(400, 300, 25))
      .png({ compressionLevel: 9 })
      .toBuffer()
    const { bytes } = await renderFile(await scratch.write('a.png', packed), {})
    expect(bytes.length).toBeLessThanOrEqual(packed.length)
    const wanted = await pixelsOf(await sharp(packed).rotate().png().toBuffer())
    expect(distance(await pixelsOf(await sharp(bytes).toColourspace('srgb').png().toBuffer()), wanted)).toBeLessThan(2)
    expect((await sharp(bytes).metadata()).orientation ?? 1).toBe(1)
    expect(orientation === 6 ? wanted.height : wanted.width).toBe(400)
  })

  it('filters a photograph as PNG, and leaves its colours alone', async () => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.png', await photo(400, 300).png({ adaptiveFiltering: true }).toBuffer())
    const { bytes } = await renderFile(path, { width: 320 })
    const exact = sharp(path).resize(320, 240)
    expect(distance(await pixelsOf(bytes), await pixelsOf(await exact.clone().png().toBuffer()))).toBe(0)
    expect(bytes.length).toBeLessThan((await exact.png({ compressionLevel: 6 }).toBuffer()).length)
    expect((await sharp(bytes).metadata()).isPalette).toBe(false)
  })

  it('gives a palette back to what had one, in as few colours as it takes, but not where lossless was asked', async () => {
    await using scratch = await scratchFolder()
    const screen = await drawing(900, 600, 60).png({ palette: true, colours: 16, dither: 0 }).toBuffer()
    const path = await scratch.write('a.png', screen)
    const { bytes } = await renderFile(path, { width: 480 })
    expect(bytes.length).toBeLessThanOrEqual(screen.length)
    expect((await sharp(bytes).metadata()).isPalette).toBe(true)
    const exact = await pixelsOf(await sharp(path).resize(480, 320).png().toBuffer())
    expect(distance(await pixelsOf(bytes), exact)).toBeLessThan(4)
    const lossless = await renderFile(path, { width: 480, quality: 'lossless' })
    expect(distance(await pixelsOf(lossless.bytes), exact)).toBe(0)
  })

  it.for([
    ['avif', ['webp', 'jpeg']],
    ['webp', []],
    ['jpeg', []],
  ] as const)(
    'comes down in quality as %s for a JPEG that has none, unless the URL says which',
    async ([format, rest]) => {
      await using scratch = await scratchFolder()
      const poor = await photo(800, 600).jpeg({ quality: 5 }).toBuffer()
      const path = await scratch.write('a.jpg', poor)
      const { bytes, facts } = await renderFile(path, { format, width: 640, alternatives: rest })
      expect(bytes.length).toBeLessThanOrEqual(poor.length)
      expect(facts.format).toBe(format)
      const shown = await pixelsOf(await sharp(bytes).png().toBuffer())
      expect(distance(shown, await pixelsOf(await sharp(poor).resize(640, 480).png().toBuffer()))).toBeLessThan(8)
      const asked = await renderFile(path, { format, width: 640, quality: 85 })
      expect(asked.bytes.length).toBeGreaterThan(bytes.length)
    },
  )

  it('does not ruin a light drawing for a format that does not suit it', async () => {
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.png', await drawing(400, 300, 5).png({ palette: true, colours: 4 }).toBuffer())
    const made = await renderFile(path, { format: 'jpeg' })
    const low = await renderFile(path, { format: 'jpeg', quality: 'low' })
    expect(made.facts.sha256).toBe(low.facts.sha256)
  })

  it.for([
    ...corpus('photos', /keong_macan|kodim(05|23)/),
    ...corpus('valid', /gopher-exif|basn3p|basi2c16/),
    ...corpus('graphics', /clipart-(cycles|no_buses|9_mm)|screenshot-sidecar/),
  ])('holds for %s as PNG, at its own size and smaller', async (path) => {
    for (const size of [{}, { width: 640 }]) {
      const { bytes, facts } = await renderFile(path, size)
      expect(bytes.length, JSON.stringify(facts)).toBeLessThanOrEqual(statSync(path).size)
    }
  })
})

describe('packing the pixels of a PNG', () => {
  const shape = { width: 2, height: 1 }

  it.for([
    ['opaque grey', [7, 7, 7, 255, 9, 9, 9, 255], 4, [7, 9], 1],
    ['translucent grey', [7, 7, 7, 255, 9, 9, 9, 80], 4, [7, 255, 9, 80], 2],
    ['opaque colour', [7, 8, 7, 255, 9, 9, 9, 255], 4, [7, 8, 7, 9, 9, 9], 3],
    ['translucent colour', [7, 8, 7, 255, 9, 9, 9, 80], 4, [7, 8, 7, 255, 9, 9, 9, 80], 4],
    ['grey without alpha', [7, 7, 7, 9, 9, 9], 3, [7, 9], 1],
    ['one channel', [7, 9], 1, [7, 9], 1],
  ] as const)('writes %s in as few channels as hold it', ([, from, channels, to, fewer]) => {
    const packed = compact({ ...shape, channels, data: Buffer.from(from) })
    expect([[...packed.data], packed.channels]).toEqual([to, fewer])
  })

  it('counts colours only as far as it matters', () => {
    const pixels = { ...shape, channels: 1, data: Buffer.from([1, 2, 2, 3]) } as const
    expect([2, 3].map((limit) => hasFewColours(pixels, limit))).toEqual([false, true])
  })
})
