/** URLs for the tests of this folder: short ways to a Transform, and arbitrary ones. */
import fc from 'fast-check'
import { PRESETS } from '../../config/presets.ts'
import { FITS, QUALITY_LEVELS } from '../../src/core/render-plan.ts'
import { parseQuery } from '../../src/delivery/query.ts'
import { parsePresets, parseTransform, type Transform } from '../../src/delivery/transform.ts'

export const presets = parsePresets(PRESETS)

/** `800x600.webp?fit=cover` → Transform. */
export const transformOf = (text: string): Transform => {
  const [sizeAndFormat = '', query = ''] = text.split('?')
  return parseTransform(sizeAndFormat, parseQuery(query), presets)
}

const side = fc.oneof(fc.integer({ min: 1, max: 8192 }), fc.constantFrom(16, 320, 600, 800, 1200, 8192))
const tenths = (min: number, max: number) => fc.integer({ min: min * 10, max: max * 10 }).map((n) => String(n / 10))
const share = fc.integer({ min: 0, max: 1000 }).map((n) => String(n / 1000))

/** Values of every option, within their bounds. */
const OPTION_VALUES = {
  fit: fc.constantFrom(...FITS),
  g: fc.oneof(
    fc.constantFrom('center', 'attention', 'entropy', 'north', 'southwest'),
    fc.tuple(share, share).map(String),
  ),
  dpr: fc.oneof(tenths(0.5, 4), fc.constant('auto')),
  q: fc.oneof(fc.integer({ min: 1, max: 100 }).map(String), fc.constantFrom(...QUALITY_LEVELS)),
  crop: fc
    .tuple(fc.nat(60), fc.nat(60), fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 5000 }))
    .map(String),
  rot: fc.constantFrom('0', '90', '180', '270'),
  flip: fc.constantFrom('h', 'v', 'hv'),
  bg: fc.oneof(fc.constantFrom('red', 'FFF', 'abcd', '%23102030', 'transparent'), fc.stringMatching(/^[0-9a-f]{8}$/)),
  blur: tenths(0.3, 100),
  sharp: tenths(0.3, 10),
  page: fc.constant('0'),
  enlarge: fc.constantFrom('0', '1'),
}

const sizes = fc.oneof(
  fc.tuple(side, side).map(([w, h]) => `${w}x${h}`),
  side.map((w) => `${w}x`),
  side.map((h) => `x${h}`),
  side.map((h) => `autox${h}`),
  fc.constantFrom('x', 'autox', '@thumb', '@social', '@large'),
)

/** Any well-formed `{size}.{fmt}?{options}`. */
export const transformTexts = fc
  .tuple(
    sizes,
    fc.constantFrom('avif', 'webp', 'jpg', 'jpeg', 'png', 'gif', 'auto'),
    fc.record(OPTION_VALUES, { requiredKeys: [] }),
  )
  .map(([size, format, options]) => {
    const query = Object.entries(options).map(([name, value]) => `${name}=${value}`)
    return `${size}.${format}${query.length > 0 ? `?${query.join('&')}` : ''}`
  })
