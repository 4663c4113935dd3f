import { describe, expect, it } from 'vitest'
import { comparedRow, plainRow } from '../../bench/row.ts'
import { formatNumber, formatResults } from '../../bench/table.ts'

const MACHINE = {
  cpu: 'Some CPU',
  cores: 2,
  memoryGib: 24,
  system: 'Linux 6',
  node: '26.0.0',
  sharp: '0.35.5',
  vips: '8.18.7',
  commit: 'abc',
  date: '2026-11-23 06:00',
}

const lineOf = (row: ReturnType<typeof plainRow>): string | undefined =>
  formatResults(MACHINE, [{ title: 'Part', reference: 'something', rows: [row] }])
    .split('\n')
    .find((line) => line.startsWith(`| ${row.what}`))

describe('the table of results', () => {
  it.for([
    [0.12345, '0.123'],
    [12.345, '12.3'],
    [999.4, '999'],
    [27_512.6, '27,513'],
    [Number.NaN, '–'],
  ] as const)('writes %d as %s', ([value, expected]) => {
    expect(formatNumber(value)).toBe(expected)
  })

  it('judges a ratio by its median and shows its spread', () => {
    const target = { of: 'ratio', atLeast: 0.85 } as const
    const row = comparedRow({ what: 'hits', unit: '/s', ours: [80, 90, 100], reference: [100, 100, 100], target })
    expect(row.met).toBe(true)
    expect(lineOf(row)).toBe('| hits | 90 /s | 100 /s | **0.90** (0.80–1.00) | ≥ 0.85 × | met |  |')
  })

  it('judges a figure of its own and says when it is missed', () => {
    const row = plainRow({ what: 'memory', unit: 'MB', ours: [410], target: { of: 'ours', atMost: 400 }, note: 'PSS' })
    expect(lineOf(row)).toBe('| memory | 410 MB |  |  | ≤ 400 MB | **missed** | PSS |')
  })

  it('judges our own figure where a reference only stands beside it', () => {
    const target = { of: 'ours', atMost: 5 } as const
    expect(comparedRow({ what: 'p99', unit: 'ms', ours: [4], reference: [1], target }).met).toBe(true)
  })

  it('names the machine and what else ran on it', () => {
    const text = formatResults(MACHINE, [{ title: 'Part', reference: 'something', rows: [], disturbance: 0.123 }])
    expect(text).toContain('Some CPU, 2 cores, 24 GiB · Linux 6 · Node 26.0.0 · sharp 0.35.5, libvips 8.18.7')
    expect(text).toContain('Reference: something. Other processes took 12 % of the machine meanwhile.')
  })
})
