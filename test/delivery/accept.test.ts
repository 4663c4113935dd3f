/** `Accept` by RFC 9110, client hints by RFC 9651. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseAccept } from '../../src/delivery/accept.ts'
import { readDpr, readMobile, readSlow, readViewportWidth, readWidth } from '../../src/delivery/hints.ts'

const reader = (headers: Readonly<Record<string, string>>) => (name: string) => headers[name]

describe('Accept', () => {
  it.for([
    ['image/avif,image/webp,*/*;q=0.8', { avif: [1, true], webp: [1, true], jpeg: [0.8, false] }],
    ['image/webp;q=0, */*', { webp: [0, true], avif: [1, false], png: [1, false] }],
    ['image/*;q=0.5, */*;q=0.1', { avif: [0.5, false], jpeg: [0.5, false] }],
    ['*/*;q=0, image/png', { png: [1, true], jpeg: [0, false], webp: [0, false] }],
    ['image/*;q=0, image/png;q=0.2', { png: [0.2, true], gif: [0, false] }],
    ['IMAGE/WEBP ; Q=0.5', { webp: [0.5, true] }],
    ['image/jpg', { jpeg: [1, true], avif: [0, false] }],
    ['image/webp;q=0.5;ext=1', { webp: [0.5, true] }],
    ['image/webp;v=2;q=1, image/*;q=0.3', { webp: [0.3, false] }],
    ['text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2', { gif: [1, true], webp: [0.2, false] }],
    ['image/webp, image/webp;q=0', { webp: [0, true] }],
    ['image/webp;q=2, */*', { webp: [1, false] }],
    ['image/webp;q=-1, */*;q=0.4', { webp: [0.4, false] }],
    ['image/webp;q=0.0001, */*;q=0.4', { webp: [0.4, false] }],
    ['text/x;a=", image/avif, ", */*', { avif: [1, false] }],
    ['', { avif: [1, false], jpeg: [1, false] }],
    [',;,/,q=1', { avif: [1, false], jpeg: [1, false] }],
    ['application/json', { avif: [0, false], jpeg: [0, false] }],
  ] as const)('%s', ([header, expected]) => {
    const said = Object.fromEntries(
      Object.entries(parseAccept(header)).map(([format, { q, named }]) => [format, [q, named]]),
    )
    expect(said).toMatchObject(expected)
  })

  it('says nothing of any format when absent', () => {
    expect(Object.values(parseAccept(undefined))).toEqual(Array.from({ length: 5 }, () => ({ q: 1, named: false })))
  })

  it('gives weights from 0 to 1 whatever is sent', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 5000 }), (header) => {
        for (const { q } of Object.values(parseAccept(header))) expect(q >= 0 && q <= 1).toBe(true)
      }),
    )
  })

  it('reads a bounded part of a header built to be slow', () => {
    expect(parseAccept(`image/webp,${'"'.repeat(100_000)}`).webp.named).toBe(true)
    expect(parseAccept(`${'image/x;'.repeat(100_000)}`).avif.named).toBe(false)
  })
})

describe('client hints', () => {
  it.for([
    [{ 'sec-ch-dpr': '2' }, 2],
    [{ 'sec-ch-dpr': '2.625' }, 2.625],
    [{ dpr: '1.100000023841858' }, 1.100000023841858],
    [{ 'sec-ch-dpr': '3', dpr: '1' }, 3],
    [{ 'sec-ch-dpr': 'odd', dpr: '1.5' }, 1.5],
    [{ dpr: ' 2 ;a=1' }, 2],
    [{ dpr: '2, 2' }, undefined],
    [{ dpr: '-2' }, undefined],
    [{ dpr: '0' }, undefined],
    [{ dpr: '1e1' }, undefined],
    [{ dpr: '99' }, undefined],
    [{ dpr: '2.'.padEnd(40, '0') }, undefined],
    [{}, undefined],
  ] as const)('reads the ratio from %o', ([headers, expected]) => {
    expect(readDpr(reader(headers))).toBe(expected)
  })

  it('reads widths and the phone bit', () => {
    expect(readWidth(reader({ width: '640' }))).toBe(640)
    expect(readWidth(reader({ 'sec-ch-width': '800', width: '640' }))).toBe(800)
    expect(readWidth(reader({ width: '70000' }))).toBeUndefined()
    expect(readViewportWidth(reader({ 'viewport-width': '400' }))).toBe(400)
    expect(readMobile(reader({ 'sec-ch-ua-mobile': '?1' }))).toBe(true)
    expect(readMobile(reader({ 'sec-ch-ua-mobile': '?0' }))).toBe(false)
    expect(readMobile(reader({ 'sec-ch-ua-mobile': '1' }))).toBeUndefined()
  })

  it.for([
    [{}, false],
    [{ 'save-data': 'on' }, true],
    [{ 'save-data': 'On', ect: '4g' }, true],
    [{ 'save-data': 'off' }, false],
    [{ ect: '4g', rtt: '2000' }, false],
    [{ ect: '3g' }, true],
    [{ ect: 'slow-2g' }, true],
    [{ ect: '5g' }, false],
    [{ rtt: '270' }, true],
    [{ rtt: '250' }, false],
    [{ downlink: '0.7' }, true],
    [{ downlink: '1.45', rtt: '50' }, false],
    [{ rtt: 'slow', downlink: '-1' }, false],
  ] as const)('%o is slow: %s', ([headers, expected]) => {
    expect(readSlow(reader(headers))).toBe(expected)
  })
})
