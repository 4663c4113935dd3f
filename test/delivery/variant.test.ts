/** Planning: sizes, what is shared, what a stranger may have, and names that are equal exactly where plans are. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LADDER, NEGOTIATION } from '../../config/ladder.ts'
import { parseVariantKey } from '../../src/core/ids.ts'
import type { ImageFacts } from '../../src/core/image.ts'
import { formOf, type NegotiatedClass, negotiate } from '../../src/delivery/negotiate.ts'
import { type PlannedVariant, planVariant, type Trust } from '../../src/delivery/plan.ts'
import { RECIPE } from '../../src/delivery/variant-name.ts'
import { transformOf, transformTexts } from './urls.ts'

const facts = (width: number, height: number, more: Partial<ImageFacts> = {}): ImageFacts => ({
  format: 'jpeg',
  width,
  height,
  orientation: 1,
  pages: 1,
  animated: false,
  hasAlpha: false,
  colourSpace: 'srgb',
  hasProfile: false,
  ...more,
})

const PHOTO = facts(2725, 2225)
const SMALL = facts(500, 400)

const planOf = (
  url: string,
  trust: Trust,
  original = PHOTO,
  headers: Readonly<Record<string, string>> = {},
): PlannedVariant => {
  const transform = transformOf(url)
  const klass: NegotiatedClass = negotiate(formOf(transform), original, (name) => headers[name], NEGOTIATION)
  return planVariant(transform, klass, original, trust, LADDER)
}
const sizeOf = (url: string, trust: Trust, original = PHOTO): string => {
  const { width, height, fit } = planOf(url, trust, original).plan
  return width === undefined ? 'natural' : `${width}x${height} ${fit}`
}

describe('a signed size', () => {
  it.for([
    ['800x.webp', PHOTO, '800x653 fill'],
    ['801x.webp', PHOTO, '801x654 fill'],
    ['x600.webp', PHOTO, '735x600 fill'],
    ['800x600.webp', PHOTO, '735x600 fill'],
    ['800x600.webp?fit=outside', PHOTO, '800x653 fill'],
    ['800x600.webp?fit=fill', PHOTO, '800x600 fill'],
    ['800x600.webp?fit=cover', PHOTO, '800x600 cover'],
    ['800x600.webp?fit=contain', PHOTO, '800x600 contain'],
    ['400x.webp?dpr=2', PHOTO, '800x653 fill'],
    ['333x.webp?dpr=1.5', PHOTO, '500x408 fill'],
    ['8000x.webp', PHOTO, 'natural'],
    ['x.webp?dpr=3', PHOTO, 'natural'],
    ['x.webp', facts(20_000, 10_000), '8192x4096 fill'],
    ['8192x.webp?dpr=4&enlarge=1', SMALL, '8192x6554 fill'],
    ['x8192.webp?enlarge=1', SMALL, '8192x6554 fill'],
    ['800x300.webp?fit=cover', SMALL, '500x188 cover'],
    ['800x300.webp?fit=cover&enlarge=1', SMALL, '800x300 cover'],
    ['800x300.webp?fit=fill', SMALL, '500x188 fill'],
    ['800x600.webp?fit=contain', SMALL, '533x400 contain'],
    ['250x200.webp?fit=cover', SMALL, '250x200 fill'],
    ['250x200.webp?fit=contain', SMALL, '250x200 fill'],
    ['100x.webp?rot=90', SMALL, '100x125 fill'],
    ['100x.webp?crop=0,0,100,400', SMALL, 'natural'],
    ['50x.webp?crop=450,0,100,400', SMALL, 'natural'],
    ['1x.webp', facts(8000, 10), '1x1 fill'],
  ] as const)('%s comes out as %s', ([url, original, expected]) => {
    expect(sizeOf(url, 'signed', original)).toBe(expected)
  })
})

describe('a size that a stranger asks for', () => {
  it.for([
    ['800x.webp', PHOTO, '800x653 fill'],
    ['801x.webp', PHOTO, '828x676 fill'],
    ['400x.webp?dpr=2.05', PHOTO, '828x676 fill'],
    ['x600.webp', PHOTO, '735x600 fill'],
    ['x601.webp', PHOTO, '750x612 fill'],
    ['735x.webp', PHOTO, '735x600 fill'],
    ['736x.webp', PHOTO, '750x612 fill'],
    ['2700x.webp', PHOTO, 'natural'],
    ['800x600.webp?fit=cover', PHOTO, '800x600 cover'],
    ['801x601.webp?fit=cover', PHOTO, '828x621 cover'],
    ['800x450.webp?fit=cover', PHOTO, '800x450 cover'],
    ['1200x630.webp?fit=cover', PHOTO, '1200x630 cover'],
    ['@social.webp', PHOTO, '1200x630 cover'],
    ['1600x.webp', facts(10_000, 100), '1600x16 fill'],
    ['1610x.webp', facts(10_000, 100), '1800x18 fill'],
    ['8192x.webp?enlarge=1', SMALL, '8192x6554 fill'],
  ] as const)('%s comes out as %s', ([url, original, expected]) => {
    expect(sizeOf(url, 'unsigned', original)).toBe(expected)
  })

  it('keeps the aspect of a box to 1 % (and a pixel)', () => {
    const sides = fc.integer({ min: 200, max: 4000 })
    fc.assert(
      fc.property(sides, sides, (w, h) => {
        const { plan } = planOf(`${w}x${h}.webp?fit=fill&enlarge=1`, 'unsigned', facts(8000, 8000))
        const [width = 0, height = 0] = [plan.width, plan.height]
        expect(Math.abs(height - (width * h) / w)).toBeLessThanOrEqual(0.01 * height + 1)
      }),
    )
  })

  it('is one of at most two a step, however many widths, heights and ratios are tried', () => {
    const outcomes = new Set<string>()
    for (let n = 1; n <= 2800; n += 3)
      for (const url of [`${n}x.webp`, `x${n}.webp`, `${n}x${n}.webp`, `${n}x.webp?dpr=1.37`])
        outcomes.add(planOf(url, 'unsigned').name)
    expect(outcomes.size).toBeLessThanOrEqual(2 * LADDER.length + 1)
  })

  it('has numbers from closed sets', () => {
    expect(planOf('800x.webp?q=81&blur=0.7&sharp=1.3', 'unsigned').plan).toMatchObject({
      quality: 85,
      blur: 0.5,
      sharpen: 1.5,
    })
    expect(planOf('800x.webp?q=81&blur=0.7&sharp=1.3', 'signed').plan).toMatchObject({
      quality: 81,
      blur: 0.7,
      sharpen: 1.3,
    })
    expect(planOf('800x600.webp?fit=cover&g=0.33,0.98', 'unsigned').plan.gravity).toEqual({ x: 0.35, y: 1 })
    expect(planOf('800x600.webp?fit=cover&g=0.33,0.98', 'signed').plan.gravity).toEqual({ x: 0.33, y: 0.98 })
  })
})

describe('one variant is shared by', () => {
  it.for([
    [
      'natural size and every larger box',
      ['x.webp', '8192x.webp', '3000x3000.webp', 'x2225.webp', '2725x.webp', '2725x2225.webp?fit=cover&g=north'],
    ],
    [
      'boxes with the same outcome',
      [
        '800x.webp',
        '800x653.webp',
        '800x2000.webp',
        '400x.webp?dpr=2',
        '800x600.webp?fit=outside',
        '800x653.webp?fit=fill',
      ],
    ],
    ['spellings of a format and a number', ['800x.jpg', '800x.jpeg?dpr=1.0&q=auto&enlarge=0']],
    ['spellings of a turn', ['800x.webp?rot=180', '800x.webp?flip=hv']],
    ['no turn and both halves', ['800x.webp', '800x.webp?rot=180&flip=hv']],
    ['a mirror and half a turn with the other', ['800x.webp?flip=v', '800x.webp?rot=180&flip=h']],
    ['three quarters and a mirror, a quarter and the other', ['800x.webp?rot=270&flip=v', '800x.webp?rot=90&flip=h']],
    ['a gravity where nothing is cut', ['800x.webp', '800x.webp?g=north', '800x.webp?fit=cover&g=entropy']],
    ['a background that nobody sees', ['800x.webp', '800x.webp?bg=red']],
    ['a crop of everything', ['800x.webp', '800x.webp?crop=0,0,2725,2225', '800x.webp?crop=0,0,9999,9999']],
    ['the first page of one', ['800x.webp', '800x.webp?page=0']],
    ['a preset and its spelling', ['@thumb.webp', '200x200.webp?fit=cover&g=attention']],
    ['a signature and none', ['800x.webp', '800x.webp?exp=99&kid=a&sig=b']],
  ] as const)('%s', ([, urls]) => {
    expect(new Set(urls.map((url) => planOf(url, 'signed').name)).size).toBe(1)
  })
})

describe('a plan', () => {
  it('takes a negotiated width as it is, and multiplies the height by the ratio', () => {
    const hints = { 'viewport-width': '400', dpr: '2' }
    expect(planOf('autox.webp', 'unsigned', PHOTO, hints).plan).toMatchObject({ width: 828, height: 676 })
    expect(planOf('autox150.webp?fit=cover', 'signed', PHOTO, hints)).toMatchObject({
      plan: { width: 828, height: 300 },
      dpr: 2,
    })
  })

  it('is of low quality on a slow network, where the URL leaves the quality open', () => {
    expect(planOf('800x.auto', 'unsigned', PHOTO, { 'save-data': 'on' }).plan.quality).toBe('low')
    expect(planOf('800x.auto?q=high', 'unsigned', PHOTO, { 'save-data': 'on' }).plan.quality).toBe('high')
    expect(planOf('800x.webp', 'unsigned', PHOTO, { 'save-data': 'on' }).plan.quality).toBe('auto')
  })

  it('has the alternatives of its class in its name', () => {
    expect(planOf('800x.auto', 'unsigned', PHOTO, { accept: 'image/avif,*/*' })).toMatchObject({
      plan: { format: 'avif', alternatives: ['jpeg'] },
      name: `${RECIPE}-800x653-qauto-or.jpeg.avif`,
    })
  })

  it('keeps the background for transparency and for bars', () => {
    const red = { r: 255, g: 0, b: 0, alpha: 1 }
    expect(planOf('800x.webp?bg=f00', 'signed', facts(900, 900, { hasAlpha: true })).plan.background).toEqual(red)
    expect(planOf('800x600.webp?bg=f00&fit=contain', 'signed').plan.background).toEqual(red)
  })

  it('keeps the first frame of an animation where it would else move', () => {
    const animation = facts(900, 900, { format: 'gif', animated: true, pages: 9 })
    expect(planOf('80x.webp?page=0', 'signed', animation).plan.page).toBe(0)
    expect(planOf('80x.avif?page=0', 'signed', animation).plan.page).toBeUndefined()
    expect(planOf('80x.avif?page=8', 'signed', animation).plan.page).toBe(8)
  })

  it.for([
    ['800x.webp?page=1', 'page 1'],
    ['800x.webp?crop=2725,0,5,5', 'crop 2725,0,5,5'],
    ['800x.webp?crop=0,9000,5,5', 'crop 0,9000,5,5'],
  ] as const)('%s is refused, naming %s', ([url, named]) => {
    expect(() => planOf(url, 'signed')).toThrow(
      expect.objectContaining({ kind: 'bad-request', message: expect.stringContaining(named) }),
    )
  })

  it('says how wide it is for a policy: what is asked or what comes out, the wider', () => {
    expect(planOf('400x.webp?dpr=2', 'signed').effectiveWidth).toBe(800)
    expect(planOf('800x.webp', 'signed', SMALL).effectiveWidth).toBe(800)
    expect(planOf('100x800.webp?fit=outside', 'signed').effectiveWidth).toBe(980)
    expect(planOf('x.webp', 'signed').effectiveWidth).toBe(2725)
  })
})

const originals = fc
  .record({
    width: fc.integer({ min: 61, max: 12_000 }),
    height: fc.integer({ min: 61, max: 12_000 }),
    hasAlpha: fc.boolean(),
    format: fc.constantFrom('jpeg', 'png', 'gif', 'svg' as const),
  })
  .map(({ width, height, ...more }) => facts(width, height, more))
const trusts = fc.constantFrom<Trust>('signed', 'unsigned')

describe('the name of a variant', () => {
  it('is safe as a file, begins with the recipe and has no signature or ratio in it', () => {
    fc.assert(
      fc.property(transformTexts, originals, trusts, (url, original, trust) => {
        const { name } = planOf(url, trust, original)
        expect(parseVariantKey(`${'0'.repeat(64)}/${name}`)).toBeDefined()
        expect(name.startsWith(`${RECIPE}-`)).toBe(true)
        expect(name).not.toMatch(/dpr|exp|kid|sig/)
      }),
    )
  })

  it('is equal exactly where the plans are', () => {
    fc.assert(
      fc.property(transformTexts, transformTexts, originals, trusts, (a, b, original, trust) => {
        const [left, right] = [planOf(a, trust, original), planOf(b, trust, original)]
        expect(left.name === right.name).toBe(JSON.stringify(left.plan) === JSON.stringify(right.plan))
      }),
      { numRuns: 500 },
    )
  })

  it('stays within 8192 a side, and within the original unless enlarging was asked', () => {
    fc.assert(
      fc.property(transformTexts, originals, trusts, (url, original, trust) => {
        const { plan } = planOf(url, trust, original)
        const [width, height] = [plan.width ?? 1, plan.height ?? 1]
        expect(Math.max(width, height)).toBeLessThanOrEqual(8192)
        const turned = plan.rotate === 90 || plan.rotate === 270
        const seen = plan.crop ?? original
        const [w, h] = turned ? [seen.height, seen.width] : [seen.width, seen.height]
        if (!plan.enlarge && plan.fit !== 'contain') expect(width <= w && height <= h).toBe(true)
      }),
    )
  })

  it('is stable for a stranger: asking for what came out gives the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8192 }), originals, (width, original) => {
        const { plan, name } = planOf(`${width}x.webp`, 'unsigned', original)
        // The whole picture, where a side of it is over the largest allowed, may round to a width that is a step too.
        if (name === planOf('x.webp', 'unsigned', original).name) return
        if (plan.width) expect(planOf(`${plan.width}x.webp`, 'unsigned', original).name).toBe(name)
      }),
      { examples: [[49, facts(71, 11_993)]] },
    )
  })
})
