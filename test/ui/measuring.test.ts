import { beforeAll, describe, expect, it } from 'vitest'
import { loadModule } from './load-module.ts'

interface Measure {
  answeredBy(cacheStatus: string | null): string
  inTurns(tasks: (() => Promise<void>)[], width: number): Promise<void>
}
interface Dom {
  formatBytes(bytes: number): string
  formatShare(part: number, whole: number): string
}

let measure: Measure
let dom: Dom
beforeAll(async () => {
  measure = await loadModule<Measure>('measure.js')
  dom = await loadModule<Dom>('dom.js')
})

describe('the measuring page', () => {
  it.for([
    ['oriel-memory; hit', 'memory'],
    ['oriel-store; hit, oriel-memory; fwd=miss; stored', 'store'],
    ['oriel-store; fwd=miss; stored, oriel-memory; fwd=miss; stored', 'render'],
    ['oriel-store; fwd=miss; stored; collapsed, oriel-memory; fwd=miss; stored; collapsed', 'joined'],
    ['oriel-memory; hit, "Edge Cache"; hit; ttl=60', 'Edge Cache'],
    ['oriel-memory; hit, edge; fwd=miss', 'memory'],
    [null, 'render'],
  ] as const)('reads from Cache-Status %s that the answer came from %s', ([status, tier]) => {
    expect(measure.answeredBy(status)).toBe(tier)
  })

  it('keeps to its limit of requests at once, and does them all in order', async () => {
    const started: number[] = []
    let running = 0
    let most = 0
    const tasks = Array.from({ length: 7 }, (_, i) => async () => {
      started.push(i)
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
    })
    await measure.inTurns(tasks, 2)
    expect(started).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(most).toBe(2)
  })

  it.for([
    [0, '0 B'],
    [987, '987 B'],
    [1000, '1.00 KB'],
    [34_210, '34.2 KB'],
    [999_499, '999 KB'],
    [999_500, '1.00 MB'],
    [1_250_000, '1.25 MB'],
    [2_500_000_000, '2500 MB'],
  ] as const)('writes %i bytes as %s', ([bytes, text]) => {
    expect(dom.formatBytes(bytes)).toBe(text)
  })

  it('writes small shares with a decimal', () => {
    expect([dom.formatShare(25, 1000), dom.formatShare(500, 1000)]).toEqual(['2.5 %', '50 %'])
  })
})
