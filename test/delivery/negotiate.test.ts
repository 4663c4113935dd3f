/** Negotiation: real devices against what they can show, the rules one by one, and the set being closed. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NEGOTIATION } from '../../config/ladder.ts'
import type { OutputFormat } from '../../src/core/image.ts'
import {
  ACCEPT_CH,
  allClasses,
  consultedHeaders,
  formOf,
  type NegotiatedClass,
  negotiate,
  type Picture,
} from '../../src/delivery/negotiate.ts'
import { transformOf, transformTexts } from './urls.ts'

type Headers = Readonly<Record<string, string | undefined>>

const PHOTO: Picture = { format: 'jpeg', hasAlpha: false, animated: false }
const LOGO: Picture = { format: 'png', hasAlpha: true, animated: false }
const CARTOON: Picture = { format: 'gif', hasAlpha: true, animated: true }

const classOf = (url: string, headers: Headers, picture = PHOTO): NegotiatedClass =>
  negotiate(formOf(transformOf(url)), picture, (name) => headers[name], NEGOTIATION)

const CHROME = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8'
const OLD_SAFARI = 'image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5'
const agent = {
  chrome:
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36',
  iphone:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1',
  android18:
    'Mozilla/5.0 (Linux; Android 4.0.4; X Build/I) AppleWebKit/535.19 (KHTML, like Gecko) Chrome/18.0.1025.133 Mobile Safari/535.19',
}

interface Device {
  readonly id: string
  readonly ua: string
  readonly accept: string | null
  readonly hints: Headers
  readonly conflict?: unknown
  readonly supports: { readonly webp: boolean | null; readonly avif: boolean | null }
}

const readDevices = (): readonly Device[] => {
  try {
    return JSON.parse(readFileSync(new URL('../../../shared/corpus/devices.json', import.meta.url), 'utf8')).entries
  } catch {
    console.log('left out: ../shared/corpus/devices.json is not here')
    return []
  }
}
const DEVICES = readDevices().filter(({ conflict }) => !conflict)

describe.runIf(DEVICES.length > 0)('real devices', () => {
  const given = ({ ua, accept, hints }: Device): Headers => ({
    ...hints,
    'user-agent': ua,
    ...(accept !== null && { accept }),
  })
  const cases = DEVICES.flatMap((device) =>
    [PHOTO, LOGO, CARTOON].map((picture) => [device.id, picture.format, device, picture] as const),
  )

  it.for(cases)('%s gets a %s in a format it can show, and a modern one if it can', ([, , device, picture]) => {
    const { format, alternatives } = classOf('800x.auto', given(device), picture)
    const { avif, webp } = device.supports
    for (const served of [format, ...alternatives]) {
      if (served === 'avif') expect(avif).toBe(true)
      if (served === 'webp') expect(webp).toBe(true)
    }
    const modern: readonly OutputFormat[] = picture.animated ? ['webp'] : ['avif', 'webp']
    if (webp || (avif && !picture.animated)) expect(modern).toContain(format)
  })

  it.for(cases)('%s is judged by its User-Agent no better than it is (%s, Accept silent)', ([, , device, picture]) => {
    const { format } = classOf('800x.auto', { 'user-agent': device.ua, accept: '*/*' }, picture)
    if (format === 'avif') expect(device.supports.avif).toBe(true)
    if (format === 'webp') expect(device.supports.webp).toBe(true)
  })
})

describe('the format', () => {
  it.for([
    ['explicit, whatever Accept says', '800x.gif', { accept: 'image/avif' }, PHOTO, 'gif', []],
    ['the first of the server among equals', '800x.auto', { accept: CHROME }, PHOTO, 'avif', ['jpeg']],
    [
      'the heaviest first',
      '800x.auto',
      { accept: 'image/avif;q=0.5,image/webp;q=0.9,image/jpeg;q=0.1' },
      PHOTO,
      'webp',
      ['jpeg'],
    ],
    ['not what is refused', '800x.auto', { accept: 'image/avif;q=0,image/webp,*/*' }, PHOTO, 'webp', ['jpeg']],
    ['no evidence in image/*', '800x.auto', { accept: 'image/*' }, PHOTO, 'jpeg', []],
    ['no evidence in */*', '800x.auto', { accept: '*/*', 'user-agent': 'curl/8' }, PHOTO, 'jpeg', []],
    [
      'the User-Agent where Accept is silent',
      '800x.auto',
      { accept: '*/*', 'user-agent': agent.chrome },
      PHOTO,
      'avif',
      ['jpeg'],
    ],
    ['the User-Agent where Accept is absent', '800x.auto', { 'user-agent': agent.iphone }, PHOTO, 'avif', ['jpeg']],
    [
      'not the User-Agent where Accept names one',
      '800x.auto',
      { accept: 'image/webp,*/*', 'user-agent': agent.chrome },
      PHOTO,
      'webp',
      ['jpeg'],
    ],
    [
      'not the User-Agent where Accept refuses one',
      '800x.auto',
      { accept: 'image/avif;q=0,*/*', 'user-agent': agent.chrome },
      PHOTO,
      'jpeg',
      [],
    ],
    [
      'not the User-Agent where Accept lists others only',
      '800x.auto',
      { accept: 'image/jpeg', 'user-agent': agent.chrome },
      PHOTO,
      'jpeg',
      [],
    ],
    ['JPEG for a photo although PNG is named', '800x.auto', { accept: OLD_SAFARI }, PHOTO, 'jpeg', []],
    ['PNG where it is all that is accepted', '800x.auto', { accept: 'image/png' }, PHOTO, 'png', []],
    ['PNG for alpha', '800x.auto', { accept: OLD_SAFARI }, LOGO, 'png', []],
    ['JPEG for alpha painted over', '800x.auto?bg=fff', { accept: OLD_SAFARI }, LOGO, 'jpeg', ['png']],
    ['WebP for animation', '800x.auto', { accept: CHROME }, CARTOON, 'webp', ['gif']],
    ['GIF for animation without WebP', '800x.auto', { accept: 'image/avif,*/*' }, CARTOON, 'gif', []],
    ['AVIF for one frame of it', '800x.auto?page=0', { accept: CHROME }, CARTOON, 'avif', ['gif']],
    ['WebP for lossless', '800x.auto?q=lossless', { accept: CHROME }, LOGO, 'webp', ['png']],
    ['PNG for lossless without WebP', '800x.auto?q=lossless', { accept: OLD_SAFARI }, PHOTO, 'png', []],
    ['something although all is refused', '800x.auto', { accept: '*/*;q=0' }, PHOTO, 'jpeg', []],
    ['something although nothing is ours', '800x.auto', { accept: 'image/jxl' }, CARTOON, 'gif', []],
    ['no alternative that is not accepted', '800x.auto', { accept: 'image/avif' }, PHOTO, 'avif', []],
    [
      'early WebP for opaque stills',
      '800x.auto',
      { accept: '*/*', 'user-agent': agent.android18 },
      PHOTO,
      'webp',
      ['jpeg'],
    ],
    ['no early WebP for alpha', '800x.auto', { accept: '*/*', 'user-agent': agent.android18 }, LOGO, 'png', []],
    ['no early WebP for animation', '800x.auto', { accept: '*/*', 'user-agent': agent.android18 }, CARTOON, 'gif', []],
  ] as const)('%s', ([, url, headers, picture, format, alternatives]) => {
    expect(classOf(url, headers, picture)).toMatchObject({ format, alternatives })
  })
})

describe('width, ratio and network', () => {
  it.for([
    ['autox.auto', { accept: CHROME, 'sec-ch-width': '601', 'sec-ch-dpr': '2' }, 'avif-w640-d2-fast'],
    [
      'autox.auto',
      { accept: CHROME, 'sec-ch-width': '1200', 'sec-ch-dpr': '2', 'save-data': 'on' },
      'avif-w640-d1-slow',
    ],
    ['autox.webp', { 'viewport-width': '400', dpr: '2.625' }, 'webp-w1080-d3-fast'],
    ['autox.webp?dpr=1', { 'viewport-width': '400', dpr: '3' }, 'webp-w480-fast'],
    ['autox.webp', { 'user-agent': agent.iphone }, 'webp-w828-d2-fast'],
    ['autox.webp', { 'sec-ch-ua-mobile': '?1', 'user-agent': agent.chrome }, 'webp-w828-d2-fast'],
    ['autox.webp', { 'user-agent': agent.chrome }, 'webp-w1280-d1-fast'],
    ['autox.webp', {}, 'webp-w1280-d1-fast'],
    ['autox.webp', { width: '65535' }, 'webp-w3840-d1-fast'],
    ['autox.webp?q=80', { ect: '2g', 'viewport-width': '400', dpr: '2' }, 'webp-w828-d2'],
    ['100x.jpg?dpr=auto', { dpr: '1.1' }, 'jpeg-d1.5-fast'],
    ['100x.jpg?dpr=auto', { dpr: '8' }, 'jpeg-d4-fast'],
    ['100x.jpg?dpr=auto', {}, 'jpeg-d1-fast'],
    ['100x.jpg?dpr=auto', { dpr: '3', ect: '3g' }, 'jpeg-d1-slow'],
    ['100x.auto', { accept: CHROME, ect: '3g' }, 'avif-slow'],
    ['100x.auto', { accept: 'image/avif' }, 'avif-only-fast'],
    ['100x.jpg', { ect: '2g', 'save-data': 'on', dpr: '3' }, 'jpeg'],
  ] as const)('%s with %o is %s', ([url, headers, name]) => {
    expect(classOf(url, headers).name).toBe(name)
  })

  it.for([
    ['800x600.webp', []],
    ['800x600.webp?dpr=2', []],
    ['800x600.auto?q=80', ['Accept', 'User-Agent']],
    ['800x600.auto', ['Accept', 'User-Agent', 'Save-Data', 'ECT', 'RTT', 'Downlink']],
    ['800x.jpg?dpr=auto&q=high', ['Sec-CH-DPR', 'DPR']],
    [
      'autox.jpg?q=high&dpr=2',
      ['User-Agent', 'Sec-CH-Width', 'Width', 'Sec-CH-Viewport-Width', 'Viewport-Width', 'Sec-CH-UA-Mobile'],
    ],
  ] as const)('%s consults %o', ([url, names]) => {
    expect(consultedHeaders(formOf(transformOf(url)))).toEqual(names)
  })

  it('asks for every hint that some form consults', () => {
    const form = formOf(transformOf('autox.auto'))
    const hints = consultedHeaders(form).filter((name) => name !== 'Accept' && name !== 'User-Agent')
    expect(ACCEPT_CH.split(', ').toSorted()).toEqual(hints.toSorted())
  })
})

const oddValue = fc.oneof(
  fc.string(),
  fc.double().map(String),
  fc.constantFrom(
    '2',
    '1e9',
    '?1',
    'on',
    '2g',
    CHROME,
    'image/webp',
    'image/avif;q=0.1',
    '*/*;q=0',
    ...Object.values(agent),
  ),
)
const names = consultedHeaders(formOf(transformOf('autox.auto'))).map((name) => name.toLowerCase())
const oddHeaders = fc.dictionary(fc.constantFrom(...names), oddValue)
const pictures = fc.record({
  format: fc.constantFrom('jpeg', 'png', 'webp', 'gif', 'avif', 'tiff', 'svg' as const),
  hasAlpha: fc.boolean(),
  animated: fc.boolean(),
}) as fc.Arbitrary<Picture>

describe('the set of classes', () => {
  it('is closed: no headers, however odd, lead outside it', () => {
    fc.assert(
      fc.property(transformTexts, pictures, oddHeaders, (url, picture, headers) => {
        const set = allClasses(formOf(transformOf(url)), picture, NEGOTIATION)
        expect(set).toContainEqual(classOf(url, headers, picture))
        expect(new Set(set.map(({ name }) => name)).size).toBe(set.length)
      }),
    )
  })

  it('depends on no header that is not consulted', () => {
    fc.assert(
      fc.property(transformTexts, pictures, oddHeaders, (url, picture, headers) => {
        const consulted = consultedHeaders(formOf(transformOf(url))).map((name) => name.toLowerCase())
        const heard = Object.fromEntries(Object.entries(headers).filter(([name]) => consulted.includes(name)))
        expect(classOf(url, headers, picture)).toEqual(classOf(url, heard, picture))
      }),
    )
  })
})
