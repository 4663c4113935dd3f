/** Transform URLs: what is understood, what is refused and how, and the canonical text. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LADDER, NEGOTIATION } from '../../config/ladder.ts'
import { AppError } from '../../src/core/errors.ts'
import { MAX_URL_CHARS, parseQuery, splitTarget } from '../../src/delivery/query.ts'
import { formatTransform, parsePresets } from '../../src/delivery/transform.ts'
import { presets, transformOf, transformTexts } from './urls.ts'

const refusal = (run: () => unknown): AppError => {
  try {
    run()
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
  throw new Error('was not refused')
}

describe('a transform URL', () => {
  it.for([
    ['800x600.webp', { size: { kind: 'box', width: 800, height: 600 }, formatAsked: 'webp', fit: 'inside', dpr: 1 }],
    ['800x.avif', { size: { kind: 'box', width: 800 } }],
    ['x600.avif', { size: { kind: 'box', height: 600 } }],
    ['x.png', { size: { kind: 'box' } }],
    ['autox.auto', { size: { kind: 'auto-width' }, formatAsked: 'auto', dpr: 'auto', quality: 'auto' }],
    ['autox600.auto?dpr=2', { size: { kind: 'auto-width', height: 600 }, dpr: 2 }],
    ['8192x1.jpeg', { formatAsked: 'jpeg' }],
    ['1x.jpg', { formatAsked: 'jpeg' }],
    ['9x.jpg?g=0.3,0.7', { gravity: { x: 0.3, y: 0.7 } }],
    ['9x.jpg?g=0.3%2C0.7', { gravity: { x: 0.3, y: 0.7 } }],
    ['9x.jpg?g=attention&fit=cover', { gravity: 'attention', fit: 'cover' }],
    ['9x.jpg?dpr=1.0', { dpr: 1 }],
    ['9x.jpg?dpr=1.3333333', { dpr: 1.333 }],
    ['9x.jpg?q=80', { quality: 80 }],
    ['9x.jpg?q=lossless', { quality: 'lossless' }],
    ['9x.jpg?crop=10,20,300,400', { crop: { left: 10, top: 20, width: 300, height: 400 } }],
    ['9x.jpg?rot=270&flip=hv', { rotate: 270, flip: true, flop: true }],
    ['9x.jpg?flip=h', { flip: false, flop: true }],
    ['9x.jpg?bg=f00', { background: { r: 255, g: 0, b: 0, alpha: 1 } }],
    ['9x.jpg?bg=%23ff000000', { background: { r: 255, g: 0, b: 0, alpha: 0 } }],
    ['9x.jpg?bg=Navy', { background: { r: 0, g: 0, b: 128, alpha: 1 } }],
    ['9x.jpg?blur=0.3&sharp=10&page=7&enlarge=1', { blur: 0.3, sharpen: 10, page: 7, enlarge: true }],
    ['@thumb.webp', { size: { kind: 'box', width: 200, height: 200 }, fit: 'cover', gravity: 'attention' }],
    ['@thumb.webp?g=north&dpr=2', { fit: 'cover', gravity: 'north', dpr: 2 }],
    ['9x.jpg?exp=1&kid=a&sig=b', { quality: 'auto' }],
  ] as const)('understands %s', ([text, expected]) => {
    expect(transformOf(text)).toMatchObject(expected)
  })

  it.for([
    ['800.webp', '800'],
    ['0x5.webp', '0x5'],
    ['08x5.webp', '08x5'],
    ['8193x.webp', '8193'],
    ['99999x.webp', '99999'],
    ['-1x.webp', '-1'],
    ['800x600', '800x600'],
    ['800x.bmp', 'bmp'],
    ['800x.JPG', 'JPG'],
    ['@nosuch.webp', 'nosuch'],
    ['@__proto__.webp', '__proto__'],
    ['9x.jpg?width=3', 'width'],
    ['9x.jpg?constructor=3', 'constructor'],
    ['9x.jpg?%71=3', '%71'],
    ['9x.jpg?q=5&q=6', 'q'],
    ['9x.jpg?q=0', '0'],
    ['9x.jpg?q=101', '101'],
    ['9x.jpg?q=1e1', '1e1'],
    ['9x.jpg?q=best', 'best'],
    ['9x.jpg?q', 'q'],
    ['9x.jpg?dpr=0.4', '0.4'],
    ['9x.jpg?dpr=4.1', '4.1'],
    ['9x.jpg?dpr=NaN', 'NaN'],
    ['9x.jpg?fit=stretch', 'stretch'],
    ['9x.jpg?g=1.1,0', '1.1'],
    ['9x.jpg?g=0,0,0', '0,0,0'],
    ['9x.jpg?g=top', 'top'],
    ['9x.jpg?crop=1,2,3', '1,2,3'],
    ['9x.jpg?crop=1,2,0,3', '0'],
    ['9x.jpg?crop=-1,2,3,4', '-1'],
    ['9x.jpg?rot=45', '45'],
    ['9x.jpg?flip=vh', 'vh'],
    ['9x.jpg?bg=12345', '12345'],
    ['9x.jpg?bg=constructor', 'constructor'],
    ['9x.jpg?blur=0.2', '0.2'],
    ['9x.jpg?sharp=10.1', '10.1'],
    ['9x.jpg?page=-1', '-1'],
    ['9x.jpg?enlarge=yes', 'yes'],
    ['9x.jpg?g=%zz', '%zz'],
  ] as const)('refuses %s with 400, naming %s', ([text, named]) => {
    const { kind, message } = refusal(() => transformOf(text))
    expect(kind).toBe('bad-request')
    expect(message).toContain(named)
  })

  it('has a canonical text that parses to the same transform, and to the same text', () => {
    fc.assert(
      fc.property(transformTexts, (text) => {
        const transform = transformOf(text)
        const canonical = formatTransform(transform)
        expect(transformOf(canonical)).toEqual(transform)
        expect(formatTransform(transformOf(canonical))).toBe(canonical)
      }),
    )
  })

  it.for([
    ['800x.jpeg?dpr=1.0&q=auto&fit=inside&rot=0', '800x.jpg'],
    ['800x.jpg?q=80&fit=cover', '800x.jpg?fit=cover&q=80'],
    ['@thumb.jpg', '200x200.jpg?fit=cover&g=attention'],
    ['autox.auto?dpr=auto', 'autox.auto'],
    ['5x5.png?bg=red&exp=9&sig=x&kid=y', '5x5.png?bg=ff0000'],
  ] as const)('%s is written %s', ([text, canonical]) => {
    expect(formatTransform(transformOf(text))).toBe(canonical)
  })

  it('is either understood or refused with 400, whatever the text', () => {
    const anything = fc.oneof(
      fc.string(),
      fc.string().map((text) => `800x600.webp?${text}`),
      fc.string().map((text) => `${text}.webp`),
    )
    fc.assert(
      fc.property(anything, (text) => {
        try {
          transformOf(text)
        } catch (error) {
          expect(error).toMatchObject({ name: 'AppError', kind: 'bad-request' })
        }
      }),
    )
  })
})

describe('a query', () => {
  it('keeps every pair as sent and in order, and tells signature from options', () => {
    const query = parseQuery('b=%41&a=1+2&&exp=5&kid=k&sig=s&pol=p&flag')
    expect(query.pairs.map(({ text }) => text)).toEqual(['b=%41', 'a=1+2', 'exp=5', 'kid=k', 'sig=s', 'pol=p', 'flag'])
    expect(query.options.map(({ name, value }) => [name, value])).toEqual([
      ['b', 'A'],
      ['a', '1 2'],
      ['flag', ''],
    ])
    expect(query.signature.sig?.value).toBe('s')
  })

  it.for([
    ['too long a URL', () => splitTarget(`/i/x?${'a'.repeat(MAX_URL_CHARS)}`)],
    ['too long a query', () => parseQuery('a'.repeat(MAX_URL_CHARS + 1))],
    ['too many parameters', () => parseQuery(Array.from({ length: 33 }, (_, n) => `p${n}=1`).join('&'))],
    ['a signature sent twice', () => parseQuery('sig=a&sig=b')],
  ] as const)('refuses %s', ([, run]) => {
    expect(refusal(run).kind).toBe('bad-request')
  })
})

describe('the tables of config', () => {
  it('ladder and steps ascend, and every negotiated width is on the ladder', () => {
    const ascending = (steps: readonly number[]) => expect(steps).toEqual([...new Set(steps)].toSorted((a, b) => a - b))
    ascending(LADDER)
    ascending(NEGOTIATION.widthSteps)
    ascending(NEGOTIATION.dprSteps)
    expect(LADDER).toEqual(expect.arrayContaining([...NEGOTIATION.widthSteps]))
  })

  it('a wrong preset is named at start', () => {
    expect(refusal(() => parsePresets({ good: '5x5', bad: '5x5?fit=no' })).message).toContain('preset bad: fit')
    expect(refusal(() => parsePresets({ 'no such/name': '5x5' })).message).toContain('no such/name')
    expect(presets.size).toBeGreaterThan(5)
  })
})
