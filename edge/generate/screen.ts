/** The other half of the key: the network bit, the DPR step and the width step. For `negotiateScreen` of `src/delivery/negotiate.ts`. */
import { SLOW_DOWNLINK_MBPS, SLOW_RTT_MS } from '../../src/delivery/hints.ts'
import type { NegotiationTables } from '../../src/delivery/negotiate.ts'
import { decimalUpTo, upTo } from './numbers.ts'
import { lookup, ODD, type Row, type Table } from './program.ts'

/**
 * Ratios that a width is multiplied by at the edge: screens as they are sold, and a browser's next zoom steps. With any
 * other ratio `autox` is passed on, because the product needs arithmetic.
 */
export const RATIOS = [0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.625, 2.75, 3, 3.5, 4] as const

const stepsName = (ratio: number, inverse = false): string =>
  `width_${inverse ? 'per' : 'times'}_${String(ratio).replace('.', '_')}`

const stepUp = (steps: readonly number[], value: number): number =>
  steps.find((step) => step >= value) ?? steps.at(-1) ?? value

/** Whole CSS pixels × `factor` → the width step, by the origin's own arithmetic: the greatest number that still takes each step. */
const widthSteps = (name: string, factor: number, { widthSteps: steps }: NegotiationTables): Table => {
  const limits: (readonly [number, string])[] = []
  let pixels = 0
  for (const step of steps) {
    const before = pixels
    while (pixels < 9999 && (pixels + 1) * factor <= step) pixels += 1
    if (pixels > before) limits.push([pixels, String(step)])
  }
  const last = String(steps.at(-1))
  return {
    kind: 'steps',
    name,
    source: '$pixels',
    factor,
    steps,
    limits: limits.at(-1)?.[1] === last ? limits : [...limits, [9999, last]],
  }
}

const NETWORK_TABLES: readonly Table[] = [
  lookup(
    'network',
    '$save_data',
    [
      ['', '$network_ect'],
      [/^on$/i, 'slow'],
      [/^off$/i, '$network_ect'],
    ],
    ODD,
  ),
  lookup(
    'network_ect',
    '$ect',
    [
      ['', '$network_rtt'],
      [/^4g$/, 'fast'],
      [/^(?:slow-2g|2g|3g)$/, 'slow'],
    ],
    ODD,
  ),
  lookup(
    'network_rtt',
    '$rtt',
    [
      ['', '$network_downlink'],
      [new RegExp(`^${upTo(SLOW_RTT_MS - 1)}$`), '$network_downlink'],
      [/^[1-9]\d{0,4}$/, 'slow'],
    ],
    ODD,
  ),
  lookup(
    'network_downlink',
    '$downlink',
    [
      ['', 'fast'],
      [decimalUpTo(SLOW_DOWNLINK_MBPS), 'slow'],
      [/^[1-9]?\d(?:\.\d{1,15})?$/, 'fast'],
    ],
    ODD,
  ),
  // Where the URL states its quality, the origin does not look at the network.
  lookup(
    'slow',
    '$quality',
    [
      ['a', '$network'],
      [ODD, ODD],
    ],
    'fast',
  ),
]

const deviceTables = ({ screens, dprSteps }: NegotiationTables): readonly Table[] => {
  const by = (name: string, value: (screen: { width: number; dpr: number }) => number) =>
    lookup(
      name,
      '$device',
      Object.entries(screens).map(([device, screen]) => [device, String(value(screen))] as const),
      ODD,
    )
  return [
    lookup(
      'device',
      '$sec_ch_ua_mobile',
      [
        ['', '$agent_device'],
        ['?0', '$agent_device'],
        ['?1', 'phone'],
      ],
      ODD,
    ),
    by('screen_width', ({ width }) => width),
    by('screen_ratio', ({ dpr }) => dpr),
    by('screen_step', ({ dpr }) => stepUp(dprSteps, dpr)),
  ]
}

const firstOf = (name: string, first: string, second: string): Table =>
  lookup(name, `$${first}`, [['', `$${second}`]], `$${first}`)

const ratioTables = ({ dprSteps }: NegotiationTables): readonly Table[] => [
  firstOf('ratio_hint', 'sec_ch_dpr', 'dpr'),
  // A slow network takes the ratio down to 1 at the most, and all steps are at least that.
  lookup(
    'ratio',
    '$slow',
    [
      ['fast', '$ratio_step'],
      ['slow', String(stepUp(dprSteps, 1))],
    ],
    ODD,
  ),
  lookup('ratio_unhinted', '$auto_width', [['w', '$screen_step']], String(stepUp(dprSteps, 1))),
  lookup(
    'ratio_step',
    '$ratio_hint',
    [
      ['', '$ratio_unhinted'],
      // Below 0.1 and above 10 it counts as absent.
      [/^0(?:\.0\d*)?$/, ODD],
      ...dprSteps.map((step): Row => [decimalUpTo(step), String(step)]),
      [decimalUpTo(10), String(dprSteps.at(-1))],
    ],
    ODD,
  ),
]

const widthTables = (tables: NegotiationTables): readonly Table[] => {
  const ratios: readonly number[] = RATIOS
  for (const { dpr } of Object.values(tables.screens))
    if (!ratios.includes(dpr)) throw new Error(`a screen's ratio of ${dpr} is not among the edge's RATIOS`)
  const large = ratios.filter((ratio) => ratio > 1)
  return [
    firstOf('width_hint', 'sec_ch_width', 'width'),
    firstOf('view_hint', 'sec_ch_viewport_width', 'viewport_width'),
    lookup('view', '$view_hint', [['', '$screen_width']], '$view_hint'),
    lookup('pixels', '$width_hint', [['', '$view']], '$width_hint'),
    lookup(
      'ratio_known',
      '$ratio_hint',
      [['', '$screen_ratio'], ...ratios.map((r): Row => [String(r), String(r)])],
      ODD,
    ),
    lookup(
      'ratio_number',
      '$ratio_asked',
      [
        ['auto', '$ratio_known'],
        ['other', ODD],
      ],
      '$ratio_asked',
    ),
    lookup(
      'ratio_saved',
      '$ratio_number',
      large.map((ratio): Row => [String(ratio), '1']),
      '$ratio_number',
    ),
    lookup('ratio_used', '$slow $ratio_asked', [['slow auto', '$ratio_saved']], '$ratio_number'),
    lookup(
      'width_by_view',
      '$ratio_used',
      ratios.map((r): Row => [String(r), `$${stepsName(r)}`]),
      ODD,
    ),
    // `Width` is in physical pixels, the ratio is in it; a slow network takes it out again.
    lookup(
      'width_saved',
      '$ratio_number',
      ratios.map((r): Row => [String(r), `$${r > 1 ? stepsName(r, true) : stepsName(1)}`]),
      ODD,
    ),
    lookup('width_by_hint', '$slow $ratio_asked', [['slow auto', '$width_saved']], `$${stepsName(1)}`),
    lookup('width_found', '$width_hint', [['', '$width_by_view']], '$width_by_hint'),
    lookup(
      'width_step',
      '$slow',
      [
        ['fast', '$width_found'],
        ['slow', '$width_found'],
      ],
      ODD,
    ),
    ...ratios.map((ratio) => widthSteps(stepsName(ratio), ratio, tables)),
    ...large.map((ratio) => widthSteps(stepsName(ratio, true), 1 / ratio, tables)),
  ]
}

/** @throws Error when the tables hold what the edge cannot work with: a step below 1, a screen's ratio that is no common one. */
export const screenTables = (tables: NegotiationTables): readonly Table[] => {
  if ((tables.dprSteps[0] ?? 0) < 1) throw new Error('the edge takes all DPR steps to be at least 1')
  return [...NETWORK_TABLES, ...deviceTables(tables), ...ratioTables(tables), ...widthTables(tables)]
}
