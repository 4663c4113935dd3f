import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addSample,
  advance,
  barLine,
  doneBytes,
  formatBytes,
  formatSeconds,
  NOTHING_YET,
  type ProgressEvent,
  plainLine,
  RATE_WINDOW_MS,
  rateOf,
  type Sample,
  secondsLeft,
} from '../../src/cli/progress.ts'

const tallyOf = (events: readonly ProgressEvent[]) => events.reduce(advance, NOTHING_YET)
const found = (bytes: number): ProgressEvent => ({ kind: 'found', bytes })

/** Three files: one done, one half sent, one not begun. */
const HALF = tallyOf([
  found(1000),
  found(1000),
  { kind: 'sent', bytes: 1000 },
  { kind: 'settled', status: 'uploaded', bytes: 1000, underWay: 1000 },
  { kind: 'sent', bytes: 500 },
  found(1000),
  { kind: 'counted' },
])

describe('the tally', () => {
  it('counts what is done, and what of the rest has gone', () => {
    expect(doneBytes(HALF)).toBe(1500)
    expect(HALF.files.uploaded).toBe(1)
    expect(secondsLeft(HALF, 100)).toBe(15)
  })

  it('takes back what a failed attempt sent', () => {
    const again = tallyOf([found(1000), { kind: 'sent', bytes: 700 }, { kind: 'sent', bytes: -700 }])
    expect(doneBytes(again)).toBe(0)
    expect(again.bytes.sent).toBe(0)
  })

  it('counts what an earlier run sent as done, not as sent', () => {
    const resumed = tallyOf([found(1000), { kind: 'there', bytes: 700 }])
    expect(doneBytes(resumed)).toBe(700)
    expect(resumed.bytes.sent).toBe(0)
  })

  it('counts a file that was skipped as done without a byte sent', () => {
    const skipped = tallyOf([found(1000), { kind: 'settled', status: 'skipped', bytes: 1000, underWay: 0 }])
    expect(doneBytes(skipped)).toBe(1000)
    expect(skipped.bytes.sent).toBe(0)
  })

  it('knows no time left before all are counted', () => {
    expect(secondsLeft(tallyOf([found(1000)]), 100)).toBeUndefined()
    expect(secondsLeft(HALF, undefined)).toBeUndefined()
    expect(secondsLeft(HALF, 0)).toBeUndefined()
  })
})

describe('the rate', () => {
  const run = (samples: readonly Sample[]) => samples.reduce<readonly Sample[]>(addSample, [])

  it('is that of the window', () => {
    const samples = Array.from({ length: 61 }, (_, n) => ({ at: n * 500, bytes: n < 30 ? 0 : (n - 30) * 1000 }))
    const kept = run(samples)
    expect(kept.length).toBeLessThanOrEqual(RATE_WINDOW_MS / 500 + 2)
    expect(rateOf(kept)).toBe(2000)
  })

  it('is unknown at first, and never below zero', () => {
    expect(rateOf([])).toBeUndefined()
    expect(rateOf(run([{ at: 0, bytes: 0 }]))).toBeUndefined()
    expect(
      rateOf(
        run([
          { at: 0, bytes: 900 },
          { at: 1000, bytes: 100 },
        ]),
      ),
    ).toBe(0)
  })
})

describe('lines', () => {
  it('tell files, time left, rate and bytes', () => {
    expect(plainLine(HALF, 100)).toBe('1 of 3 files, 0:15 left, 100 B/s, 1.50 kB of 3.00 kB')
    expect(barLine(HALF, 100, 100)).toBe(
      '[############------------]  50%  1 of 3 files  0:15 left  100 B/s  1.50 kB of 3.00 kB',
    )
  })

  it('fit any width, and keep what matters most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 300 }), (columns) => {
        const line = barLine(HALF, 123_456, columns)
        expect(line.length).toBeLessThanOrEqual(columns)
        expect(line).toContain('50%')
      }),
    )
    expect(barLine(HALF, 100, 20)).toContain('1 of 3 files')
  })

  it('say 100 % only when the last file is settled', () => {
    const sent = tallyOf([found(10), { kind: 'counted' }, { kind: 'sent', bytes: 10 }])
    expect(barLine(sent, 1, 80)).toContain(' 99%')
    expect(barLine(advance(sent, { kind: 'settled', status: 'uploaded', bytes: 10, underWay: 10 }), 1, 80)).toContain(
      '100%',
    )
    expect(barLine(tallyOf([{ kind: 'counted' }]), undefined, 80)).toContain('100%')
  })

  it('show sizes and times as people write them', () => {
    expect([0, 999, 1000, 12_345, 999_999, 1e9, 5.5e12].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '12.3 kB',
      '1000 kB',
      '1.00 GB',
      '5.50 TB',
    ])
    expect([0, 7.4, 754, 11_045].map(formatSeconds)).toEqual(['0:00', '0:07', '12:34', '3:04:05'])
  })
})
