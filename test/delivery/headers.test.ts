import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { variantKey } from '../../src/core/ids.ts'
import { cacheStatus, serverTiming } from '../../src/delivery/cache-status.ts'
import {
  cacheControl,
  lifetimeHeaders,
  matchesEtag,
  mayNameVariant,
  requireMatch,
  validatorHeaders,
  variantEtag,
  wholeHeaders,
} from '../../src/delivery/headers.ts'
import { parseRange } from '../../src/delivery/range.ts'
import { digest, key } from './picture.ts'

describe('Cache-Control', () => {
  it.for([
    [true, Number.POSITIVE_INFINITY, 'public, max-age=31536000, immutable'],
    [false, Number.POSITIVE_INFINITY, 'private, max-age=31536000, immutable'],
    [true, 1_300, 'public, max-age=300, immutable'],
    [true, 1_000 + 86_400, 'public, max-age=86400, immutable'],
    [true, 1_000 + 86_401, 'public, max-age=86401, s-maxage=86400, immutable'],
    [false, 1_000 + 86_401, 'private, max-age=86401, immutable'],
    [false, 1_000.5, 'private, max-age=0, immutable'],
    [false, 900, 'private, max-age=0, immutable'],
  ] as const)('for shared %s and expiry %s is %s', ([shared, expiresAt, header]) => {
    expect(cacheControl({ shared, expiresAt }, 1_000)).toBe(header)
  })
})

describe('what CDNs are told', () => {
  const told = (shared: boolean, expiresAt: number) => {
    const freshness = { shared, expiresAt }
    const flat = [
      ...lifetimeHeaders(freshness, 1_000),
      ...validatorHeaders({ freshness, etag: '"e"', vary: '', className: 'webp' }),
    ]
    const value = (name: string) => (flat.includes(name) ? flat[flat.indexOf(name) + 1] : undefined)
    return [value('Cache-Control'), value('CDN-Cache-Control')]
  }

  it('is shorter than what browsers are told, and stale for longer; nothing of its own where a signature ends', () => {
    expect(told(true, Number.POSITIVE_INFINITY)).toEqual([
      'public, max-age=31536000, immutable',
      'public, max-age=86400, stale-while-revalidate=86400, stale-if-error=604800',
    ])
    expect(told(true, 1_300)).toEqual(['public, max-age=300, immutable', undefined])
    expect(told(false, Number.POSITIVE_INFINITY)).toEqual(['private, max-age=31536000, immutable', undefined])
  })

  it('names the hash in every dialect of tags, of public answers only', () => {
    const open = { expiresAt: Number.POSITIVE_INFINITY }
    expect(wholeHeaders(digest, { shared: true, ...open }, 'info')).toEqual([
      ...['Cache-Groups', `"${digest}"`, 'Cache-Tag', digest, 'Surrogate-Key', digest],
    ])
    expect(wholeHeaders(digest, { shared: false, ...open }, 'original')).toEqual([])
  })
})

describe('ETag', () => {
  it('of any encode of a variant may be meant by If-Match, and of no other', () => {
    const later = variantEtag(key, 7)
    for (const ifMatch of ['*', later, `"a", ${later}`, variantEtag(key, 0)])
      expect(mayNameVariant(ifMatch, key)).toBe(true)
    const other = variantEtag(variantKey(digest, 'r1-other'), 0)
    for (const ifMatch of ['"a"', other, `${other}, "b"`, '']) expect(mayNameVariant(ifMatch, key)).toBe(false)
  })

  it('differs by key and by generation, and is strong', () => {
    const etags = [variantEtag(key, 0), variantEtag(key, 1), variantEtag(variantKey(digest, 'r1-other'), 0)]
    expect(new Set(etags).size).toBe(3)
    for (const etag of etags) expect(etag).toMatch(/^"[\w-]{22}\.\d+"$/)
  })

  it.for([
    ['"a.0"', true],
    ['W/"a.0"', true],
    ['*', true],
    ['"b", "a.0"', true],
    ['"b",W/"a.0" , "c"', true],
    ['"b"', false],
    ['a.0', false],
    ['', false],
  ] as const)('If-None-Match %s matches "a.0": %s', ([header, matches]) => {
    expect(matchesEtag(header, '"a.0"')).toBe(matches)
  })
})

describe('If-Match', () => {
  it.for([undefined, '*', ' * ', '"a.0"', '"b.0", "a.0"'])('%j lets "a.0" pass', (header) => {
    expect(() => requireMatch(header, '"a.0"')).not.toThrow()
  })

  // Strong comparison (RFC 9110 §8.8.3.2): a weak validator is never equal.
  it.for(['"b.0"', 'W/"a.0"', '"a.1", "b.0"', '', 'a.0'])('%j does not', (header) => {
    expect(() => requireMatch(header, '"a.0"')).toThrow(expect.objectContaining({ kind: 'precondition-failed' }))
  })
})

describe('Range', () => {
  it.for([
    ['bytes=0-9', { start: 0, end: 9 }],
    ['bytes=90-', { start: 90, end: 99 }],
    ['bytes=-10', { start: 90, end: 99 }],
    ['bytes=-1000', { start: 0, end: 99 }],
    ['bytes=50-1000', { start: 50, end: 99 }],
    [`bytes=50-${'9'.repeat(400)}`, { start: 50, end: 99 }],
    [`bytes=-${'9'.repeat(400)}`, { start: 0, end: 99 }],
    ['Bytes=0-9', { start: 0, end: 9 }],
    ['bytes=0-1,3-4', undefined],
    ['bytes=9-3', undefined],
    ['lines=1-2', undefined],
    ['bytes=-', undefined],
    ['bytes=a-b', undefined],
    [undefined, undefined],
  ] as const)('%s of 100 bytes is %o', ([header, range]) => {
    expect(parseRange(header, undefined, '"e"', 100)).toEqual(range)
  })

  it.for(['bytes=100-', 'bytes=100-200', 'bytes=-0', 'bytes=99999999999999999999-'])(
    '%s of 100 bytes is refused with the size',
    (header) => {
      expect(() => parseRange(header, undefined, '"e"', 100)).toThrow(
        expect.objectContaining({ kind: 'range', headers: { 'Content-Range': 'bytes */100' } }),
      )
    },
  )

  it('is ignored when If-Range names other bytes', () => {
    expect(parseRange('bytes=0-9', '"other"', '"e"', 100)).toBeUndefined()
    expect(parseRange('bytes=0-9', '"e"', '"e"', 100)).toEqual({ start: 0, end: 9 })
  })

  it('never leaves the original, whatever is sent', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^bytes=\d{0,6}-\d{0,6}$/)),
        fc.integer({ min: 1, max: 5000 }),
        (header, size) => {
          try {
            const range = parseRange(header, undefined, '"e"', size)
            if (range) expect(0 <= range.start && range.start <= range.end && range.end < size).toBe(true)
          } catch (error) {
            expect(error).toMatchObject({ kind: 'range' })
          }
        },
      ),
    )
  })
})

describe('Cache-Status', () => {
  it('has a member for each tier that was asked', () => {
    const both = { memory: true, store: true }
    expect(cacheStatus('memory', both, false)).toBe('oriel-memory; hit')
    expect(cacheStatus('disk', both, false)).toBe('oriel-store; hit, oriel-memory; fwd=miss; stored')
    expect(cacheStatus('render', both, true)).toBe(
      'oriel-store; fwd=miss; stored; collapsed, oriel-memory; fwd=miss; stored; collapsed',
    )
  })

  it('does not say stored of a tier that did not take the variant', () => {
    expect(cacheStatus('render', { memory: false, store: true }, false)).toBe(
      'oriel-store; fwd=miss; stored, oriel-memory; fwd=miss',
    )
    expect(cacheStatus('disk', { memory: false, store: false }, false)).toBe('oriel-store; hit, oriel-memory; fwd=miss')
  })

  it('comes with the times of a render', () => {
    expect(serverTiming('render', { queueMs: 1.26, renderMs: 33 }, 40)).toBe(
      'queue;dur=1.3, render;dur=33.0, total;dur=40.0',
    )
  })
})
