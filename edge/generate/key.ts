/**
 * The edge's part of a cache key, beside the URL itself: as fine as the origin's class or finer, from the same tables. Two requests
 * for one URL with equal keys get the same answer from the origin, whatever the picture is. Not in `src`, because no server runs
 * it: `npm run edge` writes it out for nginx, Varnish, CloudFront and Cloudflare.
 */
import { NEGOTIATION } from '../../config/ladder.ts'
import { PRESETS } from '../../config/presets.ts'
import { formOf } from '../../src/delivery/negotiate.ts'
import { parseQuery } from '../../src/delivery/query.ts'
import { parsePresets, parseTransform } from '../../src/delivery/transform.ts'
import { ACCEPT_TABLES, AGENT_TABLES } from './accept.ts'
import { evaluate, type Inputs, lookup, ODD, type Program, type Row, type Table } from './program.ts'
import { RATIOS, screenTables } from './screen.ts'

/** Every header that some URL form consults, and the URL. */
const INPUTS: Inputs = {
  target: ':target',
  accept: 'accept',
  user_agent: 'user-agent',
  sec_ch_dpr: 'sec-ch-dpr',
  dpr: 'dpr',
  sec_ch_width: 'sec-ch-width',
  width: 'width',
  sec_ch_viewport_width: 'sec-ch-viewport-width',
  viewport_width: 'viewport-width',
  sec_ch_ua_mobile: 'sec-ch-ua-mobile',
  save_data: 'save-data',
  ect: 'ect',
  rtt: 'rtt',
  downlink: 'downlink',
}

const FOLDER = '^/i/[0-9a-f]{64}/'
const option = (name: string, value: string): RegExp => new RegExp(`^[^?]*\\?(?:.*&)?${name}=${value}`)
const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** What each preset leaves to negotiation, where that is not what a plain size leaves. */
const presetRows = (value: (form: ReturnType<typeof formOf>) => string | undefined): readonly Row[] => {
  const presets = parsePresets(PRESETS)
  return [...presets.keys()].flatMap((name): Row[] => {
    const gives = value(formOf(parseTransform(`@${name}.auto`, parseQuery(''), presets)))
    return gives === undefined ? [] : [[new RegExp(`${FOLDER}@${literal(name)}\\.`), gives]]
  })
}

const URL_TABLES: readonly Table[] = [
  // Percent-encoding hides what the path asks for; in our own URLs there is none. Nor is there any other path to a picture.
  lookup('path', '$target', [[new RegExp(`${FOLDER}[^/?%]+(?:\\?|$)`), '']], ODD),
  lookup('auto_format', '$target', [[new RegExp(`${FOLDER}[^/?]+\\.auto(?:\\?|$)`), 'f']], ''),
  lookup(
    'auto_width',
    '$target',
    [[new RegExp(`${FOLDER}autox`), 'w'], ...presetRows((form) => (form.widthAuto ? 'w' : undefined))],
    '',
  ),
  lookup(
    'quality',
    '$target',
    [
      [option('q', 'auto(?:&|$)'), 'a'],
      [option('q', 'lossless(?:&|$)'), 'l'],
      [option('q', '[a-z0-9]+(?:&|$)'), 'x'],
      [option('q', ''), ODD],
      ...presetRows((form) => (form.qualityAuto ? undefined : form.lossless ? 'l' : 'x')),
    ],
    'a',
  ),
  lookup('ratio_default', '$auto_width', [['w', 'auto']], '1'),
  lookup(
    'ratio_asked',
    '$target',
    [
      [option('dpr', 'auto(?:&|$)'), 'auto'],
      ...RATIOS.map((ratio): Row => [option('dpr', `${literal(String(ratio))}(?:&|$)`), String(ratio)]),
      [option('dpr', '[0-9.]+(?:&|$)'), 'other'],
      [option('dpr', ''), ODD],
      ...presetRows((form) =>
        form.dprAuto === form.widthAuto && form.dpr === 1 ? undefined : form.dprAuto ? 'auto' : String(form.dpr),
      ),
    ],
    '$ratio_default',
  ),
]

const RESULT_TABLES: readonly Table[] = [
  lookup('of_format', '$auto_format', [['f', '$format']], ''),
  lookup('of_width', '$auto_width', [['w', '-w$width_step']], ''),
  lookup(
    'of_ratio',
    '$ratio_asked',
    [
      ['auto', '-d$ratio'],
      [ODD, ODD],
    ],
    '',
  ),
  lookup(
    'of_network',
    '$quality',
    [
      ['a', '-$network'],
      [ODD, ODD],
    ],
    '',
  ),
  lookup(
    'key',
    '$path$auto_format$auto_width$ratio_asked',
    [
      // Nothing is left to negotiation: the URL is the whole key.
      [/^[0-9]|^other$/, ''],
    ],
    '$path$of_format$of_width$of_ratio$of_network',
  ),
]

export const EDGE_PROGRAM: Program = {
  inputs: INPUTS,
  tables: [...URL_TABLES, ...AGENT_TABLES, ...ACCEPT_TABLES, ...screenTables(NEGOTIATION), ...RESULT_TABLES],
  result: 'key',
}

/**
 * @param target path and query as sent. @param header reads a request header by its lower-case name.
 * @returns the key's part, '' for a URL that negotiates nothing, undefined for a request that an edge has to pass on.
 */
export const edgeKey = (target: string, header: (name: string) => string | undefined): string | undefined => {
  const key = evaluate(EDGE_PROGRAM, (input) => (input === 'target' ? target : (header(INPUTS[input] ?? '') ?? '')))
  return key.includes(ODD) ? undefined : key
}
