/** What variables want of each other, beyond what each is by itself. */
import type { Config } from './environment.ts'

/** Variables of which the first is of no use without the second. */
const PAIRS = [
  // An edge that anybody could tell to forget would be of no use.
  ['ORIEL_EDGE_PURGE', 'ORIEL_EDGE_PURGE_KEY'],
  // A receiver that cannot tell our messages from a stranger's.
  ['ORIEL_WEBHOOK', 'ORIEL_WEBHOOK_SECRET'],
] as const satisfies readonly (readonly [keyof Config, keyof Config])[]

/** One line for each that lacks its other half. */
export const pairFaults = (config: Config): readonly string[] => [
  ...PAIRS.filter(([one, other]) => config[one] && !config[other]).map(
    ([one, other]) => `${other}: needed with ${one}`,
  ),
  // A hold without a scanner would hold for ever.
  ...(config.ORIEL_SCAN !== 'off' && !config.ORIEL_CLAMD
    ? [`ORIEL_CLAMD: needed with ORIEL_SCAN=${config.ORIEL_SCAN}`]
    : []),
]
