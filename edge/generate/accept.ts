/** The format half of the key: what `Accept`, or the User-Agent where `Accept` is silent, proves. For `src/delivery/format-choice.ts`. */
import {
  AGENT_RULES,
  type AgentProof,
  DEVICE_RULES,
  MAX_AGENT_CHARS,
  NO_AVIF_BUILD,
} from '../../src/delivery/user-agent.ts'
import { lookup, ODD, type Table } from './program.ts'

/** The ranges that say something of a format we write. */
const OURS = '(?:image\\/(?:avif|webp|jpe?g|png|gif|\\*)|\\*\\/\\*)'
const ENDS = '(?=[ ;,]|$)'
const WEIGHT = '(?: *; *q *= *(?:1(?:\\.0{0,3})?|0?\\.\\d{1,3}|0\\.?))?'
/** Printable ASCII but the comma and the quote. */
const OTHER = '[ !#-+\\--~]*'
const PART = `(?: *${OURS}${WEIGHT} *|(?! *${OURS}${ENDS})${OTHER})`
/** A range named twice, of which the lower weight would count. */
const TWICE = `(?:.*,)? *(${OURS})${ENDS}.*, *\\1${ENDS}|.*image\\/jpe?g.*image\\/jpe?g`

/**
 * A header of which every part is either none of our business or a plain range with at most a weight. Under 512 characters and 64
 * parts, which is less than the origin reads. What real browsers send is; the rest is passed on.
 */
const PLAIN = new RegExp(`^(?=.{1,512}$)(?!${TWICE})${PART}(?:,${PART}){0,63}$`, 'i')

/** `1`, `0`, `h` for a weight between them, '' where the range is not named. */
const weightOf = (name: string, range: string): Table => {
  const named = `(?:^|,) *${range} *`
  return lookup(
    name,
    '$accept',
    [
      [new RegExp(`${named}(?:,|$|; *q *= *1)`, 'i'), '1'],
      [new RegExp(`${named}; *q *= *0?\\.0*[1-9]`, 'i'), 'h'],
      [new RegExp(`${named};`, 'i'), '0'],
    ],
    '',
  )
}

/** The shown formats as letters: a(vif), w(ebp), or the part of WebP that old browsers show, n(one). */
const LETTERS: Readonly<Record<AgentProof, string>> = {
  both: 'aw',
  build: '$agent_build',
  webp: 'w',
  still: 'still',
  lossy: 'lossy',
  none: 'n',
}

const TOO_LONG = new RegExp(`.{${MAX_AGENT_CHARS + 1}}`)

export const AGENT_TABLES: readonly Table[] = [
  lookup('agent_build', '$user_agent', [[NO_AVIF_BUILD, 'w']], 'aw'),
  lookup(
    'agent_shows',
    '$user_agent',
    [[TOO_LONG, ODD], ...AGENT_RULES.map(([pattern, proof]) => [pattern, LETTERS[proof]] as const)],
    'n',
  ),
  lookup('agent_device', '$user_agent', [[TOO_LONG, ODD], ...DEVICE_RULES], 'other'),
]

/**
 * Everything that `chooseFormat` can come to for some picture follows from: which of AVIF and WebP weigh 1 and which nothing; and
 * which of JPEG, PNG and GIF are taken at all. How much these weigh decides only between a lossless PNG and AVIF, or, where one
 * of them is refused, in ways that are passed on unless all weights are 0 or 1.
 */
export const ACCEPT_TABLES: readonly Table[] = [
  weightOf('w_avif', 'image\\/avif'),
  weightOf('w_webp', 'image\\/webp'),
  weightOf('w_jpeg', 'image\\/jpe?g'),
  weightOf('w_png', 'image\\/png'),
  weightOf('w_gif', 'image\\/gif'),
  weightOf('w_image', 'image\\/\\*'),
  weightOf('w_any', '\\*\\/\\*'),
  lookup('wild_any', '$w_any', [['', '0']], '$w_any'),
  lookup('wild', '$w_image', [['', '$wild_any']], '$w_image'),
  lookup('takes_jpeg', '$w_jpeg', [['', '$wild']], '$w_jpeg'),
  lookup('takes_png', '$w_png', [['', '$wild']], '$w_png'),
  lookup('takes_gif', '$w_gif', [['', '$wild']], '$w_gif'),
  lookup(
    'named',
    '$w_avif,$w_webp',
    [
      ['1,1', 'aw'],
      ['1,', 'a'],
      ['1,0', 'a'],
      [',1', 'w'],
      ['0,1', 'w'],
    ],
    'n',
  ),
  lookup(
    'takes',
    '$quality $takes_jpeg$takes_png$takes_gif',
    [
      [/^[^l] [1h][1h][1h]$/, ''],
      [/^l [1h]1[1h]$/, ''],
      [/^l [1h]h[1h]$/, '.h'],
    ],
    '.$takes_jpeg$takes_png$takes_gif',
  ),
  lookup(
    'said',
    '$w_avif,$w_webp,$takes_jpeg$takes_png$takes_gif,$wild',
    [
      // Nothing of ours is named, or all of it is refused: whether the header was understood at all is the origin's to say.
      [',,000,0', ODD],
      // Weights between 0 and 1 would have to be compared.
      [/^h|^[^,]*,h/, ODD],
      [/,[1h]*(?:0[01]*h|h[1h]*0)[01h]*,/, ODD],
      // Neither named, nor refused by the wildcard: the header is silent.
      [/^,,[^,]*,[1h]$/, '$agent_shows$takes'],
    ],
    '$named$takes',
  ),
  lookup(
    'format',
    '$accept',
    [
      ['', '$agent_shows'],
      [PLAIN, '$said'],
    ],
    ODD,
  ),
]
