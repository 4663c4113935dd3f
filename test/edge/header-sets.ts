/** Header sets to judge edges by: those of real devices, where the corpus is, and made ones, with whatever else headers may say. */
import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { corpusFile, hasCorpus } from '../e2e/corpus.ts'

export type HeaderSet = Readonly<Record<string, string>>

interface Device {
  readonly ua: string
  readonly accept: string | null
  readonly hints: Readonly<Record<string, string>>
}

/** What browsers of each kind send; also what a fresh clone, which has no corpus, is judged by. */
const KNOWN: readonly HeaderSet[] = [
  {},
  { accept: '*/*', 'user-agent': 'curl/8.5.0' },
  {
    accept: 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
    'user-agent':
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36',
    'sec-ch-ua-mobile': '?0',
    'sec-ch-dpr': '1.25',
    'sec-ch-viewport-width': '1536',
  },
  {
    accept:
      'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7',
    'user-agent':
      'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36',
    'sec-ch-ua-mobile': '?1',
    dpr: '2.625',
    'viewport-width': '412',
    ect: '3g',
  },
  {
    accept:
      'image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
    'user-agent':
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1',
  },
  {
    accept: 'image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
    'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  },
  {
    accept: 'image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5',
    'user-agent':
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.2 Safari/605.1.15',
  },
  {
    accept: '*/*',
    'user-agent': 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
    'save-data': 'on',
  },
]

const fromCorpus = (): readonly HeaderSet[] => {
  const path = corpusFile('devices.json')
  if (!hasCorpus || !existsSync(path)) return []
  const { entries } = JSON.parse(readFileSync(path, 'utf8')) as { readonly entries: readonly Device[] }
  return entries.map(({ ua, accept, hints }) => ({ ...hints, 'user-agent': ua, ...(accept !== null && { accept }) }))
}

export const realSets: readonly HeaderSet[] = [...KNOWN, ...fromCorpus()]

const weight = fc.constantFrom(
  '',
  '',
  '',
  ';q=1',
  ';q=1.0',
  ';q=0.9',
  ';q=0.8',
  ';q=0',
  ' ; q = .5',
  ';q=0.000',
  ';q=2',
  ';v=b3',
  ';',
)
const range = fc.constantFrom(
  ...['image/avif', 'image/webp', 'image/jpeg', 'image/jpg', 'image/png', 'image/gif', 'image/*', '*/*', 'IMAGE/WEBP'],
  ...['image/apng', 'image/avif2', 'text/html', 'image/svg+xml', '', ' ', 'x', 'image/avif x', 'a/b;c="image/webp,"'],
)
const accepts = fc
  .array(fc.tuple(range, weight), { minLength: 1, maxLength: 7 })
  .map((parts) => parts.map(([name, q]) => name + q).join(','))

const agents = realSets.flatMap((set) => set['user-agent'] ?? [])
const version = fc
  .tuple(fc.integer({ min: 0, max: 150 }), fc.nat({ max: 12 }))
  .map(([major, minor]) => `${major}.${minor}`)
/** Real ones with other versions, two of them in one, and none. */
const userAgents = fc.oneof(
  fc.constantFrom(...agents),
  fc
    .tuple(fc.constantFrom(...agents), fc.array(version, { minLength: 6, maxLength: 6 }))
    .map(([agent, versions]) => agent.replace(/\d+[._]\d+/g, (_, at: number) => versions[at % 6] ?? '')),
  fc.tuple(fc.constantFrom(...agents), fc.constantFrom(...agents)).map(([one, two]) => `${one} ${two}`),
  fc.constantFrom('x'.repeat(600), 'Mozilla/5.0'),
)
const ratios = fc.constantFrom(
  ...[
    '0.5',
    '1',
    '1.0',
    '1.1',
    '1.100000023841858',
    '1.25',
    '1.5',
    '1.50',
    '1.51',
    '2',
    '2.0001',
    '2.625',
    '2.75',
    '3',
  ],
  ...['3.5', '4', '4.2', '9', '10', '11', '0', '0.05', '.5', '02', '2;x', ' 2', '-1', 'x', '1e0'],
)
const pixels = fc.oneof(
  fc.integer({ min: 1, max: 4200 }).map(String),
  fc.constantFrom('0', '320', '414', '9999', '10000', '65535', '70000', '360.5', '0400', 'x', '412;a'),
)
const mobiles = fc.constantFrom('?0', '?1', '?1;x', '1', 'x')
const often = (values: fc.Arbitrary<string>) => fc.option(values, { nil: undefined, freq: 2 })
const seldom = (values: fc.Arbitrary<string>) =>
  fc.tuple(fc.nat({ max: 4 }), values).map(([turn, value]) => (turn === 0 ? value : undefined))

/** Anything, mostly what browsers say, one header at a time. */
export const anySet: fc.Arbitrary<HeaderSet> = fc
  .record({
    accept: often(fc.oneof(accepts, fc.constantFrom(...realSets.flatMap((set) => set.accept ?? [])))),
    'user-agent': often(userAgents),
    'sec-ch-dpr': seldom(ratios),
    dpr: seldom(ratios),
    'sec-ch-width': seldom(pixels),
    width: seldom(pixels),
    'sec-ch-viewport-width': seldom(pixels),
    'viewport-width': seldom(pixels),
    'sec-ch-ua-mobile': seldom(mobiles),
    'save-data': seldom(fc.constantFrom('on', 'On', 'off', 'on;x', '1')),
    ect: seldom(fc.constantFrom('4g', '3g', '2g', 'slow-2g', '4G', '5g')),
    rtt: seldom(fc.constantFrom('0', '50', '269', '270', '300', '3000', '1e3', '270.5')),
    downlink: seldom(fc.constantFrom('10', '0.7', '0.70', '0.71', '0.3', '0', '1.45', '.3')),
  })
  .map((set) =>
    Object.fromEntries(Object.entries(set).filter((pair): pair is [string, string] => pair[1] !== undefined)),
  )

/** The same thousand for every edge: the real ones, then made ones of a fixed seed. */
export const thousandSets: readonly HeaderSet[] = [
  ...realSets,
  ...fc.sample(anySet, { numRuns: 1000 - realSets.length, seed: 20_261_124 }),
]

/** URLs of every form, what follows `/i/{hash}/`. */
export const tails = [
  '800x.auto',
  '800x.webp',
  '800x.jpg?dpr=2&q=80',
  'autox.auto',
  'autox.avif',
  'autox600.auto?fit=cover',
  'autox.auto?dpr=2',
  'autox.auto?dpr=1.7',
  'autox.auto?q=high',
  'autox.auto?fit=cover&q=auto&dpr=auto',
  '800x.auto?dpr=auto',
  '800x.webp?dpr=auto&q=60',
  'x.auto?q=lossless',
  '800x.auto?page=0&bg=fff',
  '@thumb.auto',
  '@placeholder.auto',
  '@placeholder.auto?q=auto',
  '@card.webp',
  '%61utox.auto',
  '800x.auto?q=%61uto',
  'original',
  'info.json',
] as const

export const SOME_HASH = '0123456789abcdef'.repeat(4)
