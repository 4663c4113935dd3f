/** Measurements in turns, of which those are kept that the rest of the machine disturbed least. */
import { watchDisturbance } from './process-tree.ts'

/** Share of the machine that others may take of a round before it is done again: their noise is then below the ratios' own. */
const CALM = 0.05
/** Rounds that may be done again, as a share of those asked for; a busy machine must not stretch the run without end. */
const AGAIN = 0.6

/** The most rounds that `takeTurns` may begin: for those who have to prepare material for each. */
export const mostRounds = (rounds: number): number => Math.ceil(rounds * (1 + AGAIN))

/** @returns the places of the `count` smallest, in their order. */
export const calmest = (disturbances: readonly number[], count: number): readonly number[] =>
  disturbances
    .map((disturbance, at) => ({ disturbance, at }))
    .toSorted((a, b) => a.disturbance - b.disturbance)
    .slice(0, count)
    .map(({ at }) => at)
    .toSorted((a, b) => a - b)

/**
 * Runs every side once a round, each round beginning with the next side: drift of the machine within a round then favours
 * nobody. Rounds that were disturbed are added, and the `rounds` calmest kept.
 * @returns a list for each side, `rounds` long; equal places are of the same round.
 */
export const takeTurns = async <T>(
  rounds: number,
  sides: readonly ((round: number) => Promise<T>)[],
  watch: () => () => number = watchDisturbance,
): Promise<readonly (readonly T[])[]> => {
  const results: T[][] = sides.map(() => [])
  const disturbances: number[] = []
  const calm = (): number => disturbances.filter((disturbance) => disturbance <= CALM).length
  for (let round = 0; round < mostRounds(rounds) && calm() < rounds; round += 1) {
    const disturbance = watch()
    for (let turn = 0; turn < sides.length; turn += 1) {
      const at = (round + turn) % sides.length
      const result = await sides[at]?.(round)
      if (result !== undefined) results[at]?.push(result)
    }
    disturbances.push(disturbance())
  }
  const kept = calmest(disturbances, rounds)
  return results.map((list) => kept.flatMap((at) => list[at] ?? []))
}

/** `takeTurns` of two. */
export const interleave = async <T>(
  rounds: number,
  ours: (round: number) => Promise<T>,
  reference: (round: number) => Promise<T>,
): Promise<{ readonly ours: readonly T[]; readonly reference: readonly T[] }> => {
  const [mine = [], theirs = []] = await takeTurns(rounds, [ours, reference])
  return { ours: mine, reference: theirs }
}
