import { expect, it } from 'vitest'
import { repeat } from '../../src/core/repeat.ts'

it('goes on after a fault, and ends with what is under way', async () => {
  const stop = new AbortController()
  const faults: unknown[] = []
  let runs = 0
  const run = async (): Promise<void> => {
    runs += 1
    if (runs === 1) throw new Error('the first')
    if (runs === 3) stop.abort()
    if (runs === 3) throw new Error('broken off by the end')
  }
  await repeat({ everyMs: 1, run, onFault: (error) => faults.push(error) }, stop.signal)
  expect(runs).toBe(3)
  expect(faults).toEqual([new Error('the first')])
})

it('does not begin where the end comes first', async () => {
  const stop = new AbortController()
  let runs = 0
  const run = async (): Promise<void> => {
    runs += 1
  }
  const ended = repeat({ firstAfterMs: 3_600_000, everyMs: 1, run, onFault: () => undefined }, stop.signal)
  stop.abort()
  await ended
  expect(runs).toBe(0)
})
