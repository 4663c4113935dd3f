import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import type { OriginalFormat } from '../../src/core/image.ts'
import { sniff } from '../../src/imaging/sniff.ts'
import { stripMetadata } from '../../src/imaging/strip.ts'
import { stripPng } from '../../src/imaging/strip-png.ts'
import { corners, corpus, distance, pixelsOf } from './pictures.ts'

const PRIVATE = 'Seekrit Street 1'
const FORMATS = ['jpeg', 'png', 'webp', 'gif', 'avif'] as const

const withMetadata = (format: (typeof FORMATS)[number]): Promise<Buffer> =>
  corners(64, 48)
    .withExif({ IFD0: { Copyright: PRIVATE }, IFD3: { GPSLatitude: '51/1 30/1 0/1', GPSLatitudeRef: 'N' } })
    .withXmp(`<x:xmpmeta xmlns:x="adobe:ns:meta/">${PRIVATE}</x:xmpmeta>`)
    .toFormat(format)
    .toBuffer()

const stripped = (format: OriginalFormat, bytes: Buffer): Buffer => {
  const bare = stripMetadata(format, bytes)
  if (!bare) throw new Error(`the ${format} was taken for broken`)
  return bare
}

describe('stripping metadata without touching pixels', () => {
  it.for(FORMATS)('leaves nothing of EXIF and XMP in %s, and every pixel', async (format) => {
    const bytes = await withMetadata(format)
    const bare = stripped(format, bytes)
    expect(bare.includes(PRIVATE)).toBe(false)
    expect(await sharp(bare).metadata()).not.toHaveProperty('exif')
    expect(distance(await pixelsOf(bare), await pixelsOf(bytes))).toBe(0)
    expect(stripMetadata(format, bare)).toEqual(bare)
  })

  it('drops what follows the end of a JPEG, such as a gain map or anything hidden there', async () => {
    const jpeg = await corners(64, 48).jpeg().toBuffer()
    expect(stripped('jpeg', Buffer.concat([jpeg, Buffer.from(PRIVATE)])).includes(PRIVATE)).toBe(false)
  })

  it('drops the comments of a GIF and keeps its frames, delays and loop count', async () => {
    const frames = await Promise.all([corners(8, 8), corners(8, 8).negate()].map((frame) => frame.png().toBuffer()))
    const gif = await sharp(frames, { join: { animated: true } })
      .gif({ delay: [100, 200], loop: 3 })
      .toBuffer()
    const comment = Buffer.concat([Buffer.of(0x21, 0xfe, PRIVATE.length), Buffer.from(PRIVATE), Buffer.of(0)])
    const head = 13 + ((gif[10] ?? 0) & 0x80 ? 3 << (((gif[10] ?? 0) & 7) + 1) : 0)
    const bare = stripped('gif', Buffer.concat([gif.subarray(0, head), comment, gif.subarray(head)]))
    expect(bare.includes(PRIVATE)).toBe(false)
    expect(await sharp(bare).metadata()).toMatchObject({ pages: 2, delay: [100, 200], loop: 3 })
  })

  it('does not hand out a JPEG that browsers cannot show', () => {
    for (const path of corpus('valid', /testimgari/)) expect(stripMetadata('jpeg', readFileSync(path))).toBeUndefined()
  })

  it('keeps the alpha plane of an AVIF, its size on the screen, and nothing around its items', async () => {
    const avif = await corners(64, 48).ensureAlpha(0.5).withXmp(`<x>${PRIVATE}</x>`).avif({ quality: 50 }).toBuffer()
    const hidden = Buffer.concat([Buffer.from('\0\0\0\x18free', 'latin1'), Buffer.from(PRIVATE)])
    const bare = stripped('avif', Buffer.concat([avif, hidden]))
    expect(bare.includes(PRIVATE)).toBe(false)
    const pixels = (bytes: Buffer) => sharp(bytes).raw().toBuffer({ resolveWithObject: true })
    expect(await pixels(bare)).toEqual(await pixels(avif))
    expect((await pixels(bare)).info).toMatchObject({ width: 64, height: 48, channels: 4 })
  })

  it.for([
    ['is turned', 'pixi', 'irot'],
    ['has a property of no known kind', 'ispe', 'qqqq'],
    ['has a coded item of no known kind', 'av01', 'grid'],
    ['has no primary item', 'pitm', 'free'],
    ['has a sequence', 'mdat', 'moov'],
    ['is of primaries that are not sRGB', 'pixi', 'colrnclx'],
  ] as const)('leaves an AVIF alone that %s', async ([, from, to]) => {
    const avif = await corners(64, 48).avif({ quality: 50 }).toBuffer()
    const at = avif.indexOf(from, 0, 'latin1')
    expect(at).toBeGreaterThan(0)
    expect(stripMetadata('avif', avif)).toBeDefined()
    avif.write(to, at, 'latin1')
    expect(stripMetadata('avif', avif)).toBeUndefined()
  })

  it('leaves AVIFs alone that are grids, or turned by themselves', async () => {
    for (const path of corpus('valid', /sofa_grid/)) expect(stripMetadata('avif', readFileSync(path))).toBeUndefined()
    const turned = await corners(64, 48).withMetadata({ orientation: 6 }).avif().toBuffer()
    if (turned.includes('irot')) expect(stripMetadata('avif', turned)).toBeUndefined()
  })

  it('keeps the profile of a PNG where asked to, and of its colour chunks only that', async () => {
    const png = await corners(16, 16).withIccProfile('p3').png().toBuffer()
    expect((await sharp(stripPng(png, 'keep')).metadata()).icc).toBeDefined()
    expect((await sharp(stripPng(png)).metadata()).icc).toBeUndefined()
  })

  it.for(FORMATS)(
    'answers undefined for %s bytes cut anywhere, or bytes that still decode, and never throws',
    async (format) => {
      const bytes = await withMetadata(format)
      fc.assert(
        fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, value) => {
          expect(format === 'webp' || stripMetadata(format, bytes.subarray(0, at)) === undefined).toBe(true)
          const broken = Buffer.from(bytes)
          broken[at] = value
          stripMetadata(format, broken)
        }),
      )
    },
  )

  it.for(corpus('valid', /\.(jpg|png|webp|gif|avif)$/))('keeps the pixels of %s', async (path) => {
    const bytes = readFileSync(path)
    const sniffed = sniff(bytes.subarray(0, 4096))
    const bare = sniffed.kind === 'image' ? stripMetadata(sniffed.format, bytes) : undefined
    if (!bare) return
    expect(bare.length, basename(path)).toBeLessThanOrEqual(bytes.length)
    const stored = (input: Buffer) => sharp(input, { failOn: 'none', ignoreIcc: true }).raw().toBuffer()
    expect((await stored(bare)).equals(await stored(bytes)), basename(path)).toBe(true)
    const { exif, xmp, iptc } = await sharp(bare, { failOn: 'none' }).metadata()
    expect([exif, xmp, iptc]).toEqual([undefined, undefined, undefined])
  })
})
