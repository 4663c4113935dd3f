/** What a load was answered, counted by kind of request. */
import { percentile } from '../../bench/statistics.ts'

export const KINDS = ['hot', 'negotiated', 'cold', 'original', 'upload', 'delete'] as const
export type Kind = (typeof KINDS)[number]

/** What is in every origin's memory before the fault. */
export const CACHED: readonly Kind[] = ['hot', 'negotiated']

/** Longer is counted as slow. A cold render takes 30 ms here. */
export const SLOW_MS = 1_000

export interface Counts {
  asked: number
  /** Refused as it should be, or broken off where an origin was killed. */
  failed: number
  slow: number
  readonly times: number[]
}

export interface Tally {
  readonly kinds: Readonly<Record<Kind, Counts>>
  /** In words, each of them a fault of Oriel. */
  readonly wrong: string[]
  /** The first refusal of what is cached, in words. */
  cachedRefused: string | undefined
  /** Reads that broke off and were answered by another origin, as an edge has it. */
  elsewhere: number
  /** Longest that a deleted picture was served after its delete had returned, ms. */
  servedAfterMs: number
}

export const createTally = (): Tally => ({
  kinds: Object.fromEntries(KINDS.map((kind) => [kind, { asked: 0, failed: 0, slow: 0, times: [] }])) as never,
  wrong: [],
  cachedRefused: undefined,
  elsewhere: 0,
  servedAfterMs: 0,
})

export const note = (tally: Tally, kind: Kind, ms: number, failed: boolean): void => {
  const counts = tally.kinds[kind]
  counts.asked += 1
  counts.times.push(ms)
  if (ms > SLOW_MS) counts.slow += 1
  if (failed) counts.failed += 1
}

const sum = (tally: Tally, of: readonly Kind[], name: 'asked' | 'failed' | 'slow'): number =>
  of.reduce((total, kind) => total + tally.kinds[kind][name], 0)

export const asked = (tally: Tally, of: readonly Kind[] = KINDS): number => sum(tally, of, 'asked')
export const failed = (tally: Tally, of: readonly Kind[] = KINDS): number => sum(tally, of, 'failed')
export const slow = (tally: Tally): number => sum(tally, KINDS, 'slow')
export const longestMs = (tally: Tally): number => Math.max(0, ...KINDS.flatMap((kind) => tally.kinds[kind].times))
export const cachedP99Ms = (tally: Tally): number =>
  percentile(
    CACHED.flatMap((kind) => tally.kinds[kind].times),
    0.99,
  )
