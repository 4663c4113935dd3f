/** Medians, percentiles and paired ratios: all the arithmetic between a measurement and a row of the table. */

/** @param values any order, at least one. @param share 0…1, nearest rank. @throws RangeError for an empty list. */
export const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const found = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))]
  if (found === undefined) throw new RangeError('no values to take a percentile of')
  return found
}

/** The middle value, or the mean of the two in the middle. @throws RangeError for an empty list. */
export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]]
  if (low === undefined || high === undefined) throw new RangeError('no values to take a median of')
  return (low + high) / 2
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export const spread = (values: readonly number[]): Spread => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
})

/**
 * Ratios of neighbours in time. Both sides of a pair met the same noise of the machine, so the spread of the ratios is
 * narrower than that of the figures.
 */
export const pairedRatio = (ours: readonly number[], reference: readonly number[]): Spread =>
  spread(ours.map((value, index) => value / (reference[index] ?? Number.NaN)))
