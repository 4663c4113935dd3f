import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { COMPASS, FITS, type RenderPlan } from '../../src/core/render-plan.ts'
import { computeGeometry, type Geometry } from '../../src/imaging/geometry.ts'
import { compose, inverse, isTurned, turnRegion, turnSize, uprightTurn } from '../../src/imaging/turn.ts'
import { PLAN } from './pictures.ts'

const BIG = 67_108_864
const side = fc.integer({ min: 1, max: 3000 })
const picture = fc.record({ width: side, height: side, orientation: fc.integer({ min: 1, max: 8 }) })
const box = fc.record({ width: side, height: side })
const plan: fc.Arbitrary<RenderPlan> = fc
  .record({
    size: fc.record({ width: side, height: side }, { requiredKeys: [] }),
    fit: fc.constantFrom(...FITS),
    enlarge: fc.boolean(),
    rotate: fc.constantFrom(0, 90, 180, 270),
    flip: fc.boolean(),
    flop: fc.boolean(),
    gravity: fc.oneof(
      fc.constantFrom('center' as const, ...COMPASS),
      fc.record({ x: fc.double({ min: 0, max: 1, noNaN: true }), y: fc.double({ min: 0, max: 1, noNaN: true }) }),
    ),
    format: fc.constantFrom('avif' as const, 'webp' as const, 'jpeg' as const),
  })
  .map(({ size, ...rest }) => ({ ...PLAN, ...rest, ...size }))

const upright = (from: { width: number; height: number }, { rotate }: RenderPlan) =>
  rotate % 180 === 0 ? from : { width: from.height, height: from.width }

const within = (geometry: Geometry): boolean => {
  const { window, canvas, frame } = geometry
  const inFrame =
    !window ||
    (window.left >= 0 &&
      window.top >= 0 &&
      window.left + window.width <= frame.width &&
      window.top + window.height <= frame.height)
  const onCanvas =
    !canvas ||
    (canvas.left >= 0 &&
      canvas.top >= 0 &&
      canvas.left + frame.width <= canvas.width &&
      canvas.top + frame.height <= canvas.height)
  return inFrame && onCanvas
}

describe('geometry', () => {
  it('is whole, positive and consistent for every plan', () => {
    fc.assert(
      fc.property(picture, plan, (from, asked) => {
        const made = computeGeometry(from, asked, BIG)
        const { resize, frame, window, canvas, output, turn } = made
        for (const { width, height } of [resize, frame, output]) {
          expect(Number.isInteger(width) && Number.isInteger(height) && width >= 1 && height >= 1).toBe(true)
        }
        expect(turnSize(resize, turn)).toEqual(frame)
        expect(output).toEqual({ width: (window ?? canvas ?? frame).width, height: (window ?? canvas ?? frame).height })
        expect(within(made)).toBe(true)
      }),
    )
  })

  it('never enlarges unless asked', () => {
    fc.assert(
      fc.property(picture, plan, (from, asked) => {
        const { output, frame } = computeGeometry(from, { ...asked, enlarge: false }, BIG)
        const natural = upright(from, asked)
        expect(frame.width <= natural.width && frame.height <= natural.height).toBe(true)
        if (asked.fit !== 'contain')
          expect(output.width * output.height).toBeLessThanOrEqual(natural.width * natural.height)
      }),
    )
  })

  it('stays inside the box for inside, and touches it when it may enlarge', () => {
    fc.assert(
      fc.property(picture, box, fc.boolean(), (from, size, enlarge) => {
        const { output } = computeGeometry(from, { ...PLAN, ...size, enlarge }, BIG)
        expect(output.width <= size.width && output.height <= size.height).toBe(true)
        if (enlarge) expect(output.width === size.width || output.height === size.height).toBe(true)
      }),
    )
  })

  it.for(['cover', 'contain', 'fill'] as const)(
    'gives exactly the box for %s when it may enlarge or need not',
    (fit) => {
      fc.assert(
        fc.property(picture, box, fc.boolean(), (from, size, enlarge) => {
          fc.pre(enlarge || (size.width <= from.width && size.height <= from.height))
          expect(computeGeometry(from, { ...PLAN, ...size, fit, enlarge }, BIG).output).toEqual(size)
        }),
      )
    },
  )

  it.for([
    [{ width: 800 }, { width: 800, height: 653 }],
    [{ height: 600 }, { width: 735, height: 600 }],
    [{}, { width: 2725, height: 2225 }],
    [{ width: 4000 }, { width: 2725, height: 2225 }],
    [
      { width: 800, height: 600, fit: 'cover' },
      { width: 800, height: 600 },
    ],
    [
      { width: 8000, height: 4000, fit: 'cover' },
      { width: 2725, height: 1362 },
    ],
    [
      { width: 800, height: 600, fit: 'outside' },
      { width: 800, height: 653 },
    ],
    [
      { width: 8192, height: 8192, fit: 'fill', enlarge: true },
      { width: 8192, height: 8192 },
    ],
    [
      { width: 800, rotate: 90 },
      { width: 800, height: 980 },
    ],
    [
      { crop: { left: 0, top: 0, width: 100, height: 50 }, width: 50 },
      { width: 50, height: 25 },
    ],
    [{ crop: { left: 2700, top: 0, width: 100, height: 50 } }, { width: 25, height: 50 }],
  ] as const)('makes of 2725×2225 with %j the size %j', ([asked, size]) => {
    const from = { width: 2725, height: 2225, orientation: 1 }
    expect(computeGeometry(from, { ...PLAN, ...asked }, BIG).output).toEqual(size)
  })

  it('refuses a crop that does not touch the picture, naming it', () => {
    const crop = { left: 50, top: 0, width: 10, height: 10 }
    expect(() => computeGeometry({ width: 50, height: 50, orientation: 1 }, { ...PLAN, crop }, BIG)).toThrow(
      'crop 50,0,10,10',
    )
  })

  it('scales a plan down to what the encoder can write and memory can hold', () => {
    const long = { width: 60_000, height: 100, orientation: 1 }
    expect(computeGeometry(long, { ...PLAN, format: 'webp' }, BIG).output.width).toBeLessThanOrEqual(16_383)
    const sliver = { width: 1, height: 10_000, orientation: 1 }
    const cover = computeGeometry(sliver, { ...PLAN, width: 8192, height: 8192, fit: 'cover', enlarge: true }, BIG)
    expect(cover.frame.height).toBeLessThanOrEqual(10_000_000)
    const large = computeGeometry({ width: 10_000, height: 10_000, orientation: 1 }, PLAN, 1e6).output
    expect(large.width * large.height).toBeLessThanOrEqual(1e6)
  })

  it('turns back what it turns', () => {
    const orientation = fc.integer({ min: 1, max: 8 })
    fc.assert(
      fc.property(picture, orientation, orientation, (size, a, b) => {
        const turn = compose(uprightTurn(a), uprightTurn(b))
        expect(isTurned(compose(turn, inverse(turn)))).toBe(false)
        const region = { left: 0, top: 0, width: 1, height: 1 }
        const there = turnRegion(region, size, turn)
        expect(turnRegion(there, turnSize(size, turn), inverse(turn))).toEqual(region)
      }),
    )
  })
})
