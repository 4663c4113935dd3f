import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { median, pairedRatio, percentile, spread } from '../../bench/statistics.ts'

describe('statistics', () => {
  it.for([
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[7], 7],
  ] as const)('the median of %j is %d', ([values, expected]) => {
    expect(median(values)).toBe(expected)
  })

  it.for([
    [0, 1],
    [0.5, 50],
    [0.99, 99],
    [0.995, 100],
    [1, 100],
  ] as const)('percentile %d of 1…100 is %d', ([share, expected]) => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index)
    expect(percentile(values, share)).toBe(expected)
  })

  it('has no median and no percentile of nothing', () => {
    expect(() => median([])).toThrow(RangeError)
    expect(() => percentile([], 0.5)).toThrow(RangeError)
  })

  it('keeps the median between the least and the greatest', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const { min, median: middle, max } = spread(values)
        return min <= middle && middle <= max
      }),
    )
  })

  it('compares neighbours, so that noise both met does not show', () => {
    expect(pairedRatio([10, 100, 1000], [20, 200, 2000])).toEqual({ median: 0.5, min: 0.5, max: 0.5 })
  })
})
