import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NEGOTIATION } from '../../config/ladder.ts'
import { PRESETS } from '../../config/presets.ts'
import { edgeKey } from '../../edge/generate/key.ts'
import { decimalUpTo, upTo } from '../../edge/generate/numbers.ts'
import { ORIGINAL_FORMATS } from '../../src/core/image.ts'
import { formOf, negotiate, type Picture } from '../../src/delivery/negotiate.ts'
import { createParseRoute } from '../../src/delivery/route.ts'
import { createSigningKeys } from '../../src/delivery/signature.ts'
import { parsePresets } from '../../src/delivery/transform.ts'
import { anySet, type HeaderSet, realSets, SOME_HASH, tails, thousandSets } from './header-sets.ts'

const parseRoute = createParseRoute({
  presets: parsePresets(PRESETS),
  keys: createSigningKeys([{ kid: 'k1', secret: 'a-secret-for-tests' }]),
})

const pictures: readonly Picture[] = ORIGINAL_FORMATS.flatMap((format) =>
  [false, true].flatMap((hasAlpha) => [false, true].map((animated) => ({ format, hasAlpha, animated }))),
)

const target = (tail: string): string => `/i/${SOME_HASH}/${tail}`

/** The origin's class for every picture: what an answer to this URL and these headers can depend on. */
const classesOf = (tail: string, set: HeaderSet): string => {
  const route = parseRoute(target(tail), 0)
  if (route.kind !== 'variant') return ''
  const form = formOf(route.transform)
  return pictures.map((picture) => negotiate(form, picture, (name) => set[name], NEGOTIATION).name).join(' ')
}

/**
 * The closed set that bounds the keys of a URL, whatever is sent: 6 proofs of formats × 9 kinds of what else is taken × the width
 * steps × the DPR steps × the network bit. Real devices make a dozen of them.
 */
const CLOSED = new RegExp(
  `^(?:(?:aw|a|w|n|still|lossy)(?:\\.(?:h|[01]{3}))?)?(?:-w(?:${NEGOTIATION.widthSteps.join('|')}))?(?:-d(?:${NEGOTIATION.dprSteps.join('|')}))?(?:-(?:fast|slow))?$`,
)

const keyOf = (tail: string, set: HeaderSet): string | undefined => edgeKey(target(tail), (name) => set[name])

describe('the edge key', () => {
  it.for(tails)(
    'of %s tells apart whatever the origin tells apart, and only that is passed on which is odd',
    (tail) => {
      const seen = new Map<string, { classes: string; set: HeaderSet }>()
      let passed = 0
      const judge = (set: HeaderSet) => {
        const key = keyOf(tail, set)
        if (key === undefined) {
          passed += 1
          return
        }
        const classes = classesOf(tail, set)
        const before = seen.get(key)
        if (before)
          expect({ key, classes, set, with: before.set }).toEqual({
            key,
            classes: before.classes,
            set,
            with: before.set,
          })
        else seen.set(key, { classes, set })
      }
      for (const set of realSets) judge(set)
      // Nothing that a real device sends is passed on, unless the URL itself hides what it asks for.
      if (!tail.includes('%') && !tail.includes('1.7')) expect(passed).toBe(0)
      for (const set of thousandSets) judge(set)
      fc.assert(fc.property(anySet, judge), { numRuns: 4_000, seed: 3 })
      for (const key of seen.keys()) expect(key).toMatch(CLOSED)
    },
  )

  it('is empty for URLs that negotiate nothing', () => {
    for (const tail of ['800x.webp', '800x.jpg?dpr=2&q=80', '@card.webp', 'original', 'info.json'])
      for (const set of realSets) expect(keyOf(tail, set)).toBe('')
  })
})

describe('numbers as patterns', () => {
  it('agree with arithmetic on whole numbers', () => {
    for (const limit of [0, 1, 5, 9, 10, 11, 99, 100, 269, 414, 828, 1000, 8192])
      for (let value = 0; value <= 9999; value++)
        if (new RegExp(`^${upTo(limit)}$`).test(String(value)) !== value <= limit)
          expect.fail(`${value} against ${limit}`)
  })

  it('agree with arithmetic on decimals', () => {
    const decimals = fc
      .tuple(fc.nat({ max: 12 }), fc.stringMatching(/^(?:\.\d{1,15})?$/))
      .map(([whole, rest]) => whole + rest)
    const near = fc.constantFrom(
      '0.7',
      '0.70',
      '0.700000000000001',
      '0.699999999999999',
      '1.5',
      '1.49',
      '2',
      '2.0',
      '1.999',
    )
    fc.assert(
      fc.property(fc.oneof(decimals, near), fc.constantFrom(0.7, 1, 1.5, 2, 2.625, 3, 4, 10), (text, limit) => {
        expect(decimalUpTo(limit).test(text)).toBe(Number(text) <= limit)
      }),
      { numRuns: 5_000, seed: 1 },
    )
  })
})
