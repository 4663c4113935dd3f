import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { descendants, parseMachineTime, parseRollup, parseStat, treeUsage, usageOf } from '../../bench/process-tree.ts'

describe('process tree', () => {
  it('reads parent and CPU time behind a name with spaces and parentheses', () => {
    const stat = '42 (a (b) c) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 20 30 20 0 11 0 1000'
    expect(parseStat(stat)).toEqual({ parent: 7, cpuSeconds: 2.5 })
  })

  it('says nothing of a process that has gone', () => {
    expect(parseStat('')).toBeUndefined()
    expect(usageOf(0)).toEqual({ rssBytes: 0, pssBytes: 0, cpuSeconds: 0 })
  })

  it('reads one field of a memory map and takes a missing one for 0', () => {
    const rollup = '00400000-7ffe [rollup]\nRss:              2048 kB\nPss:              1024 kB\nPss_Dirty: 7 kB\n'
    expect(parseRollup(rollup, 'Rss')).toBe(2_097_152)
    expect(parseRollup(rollup, 'Pss')).toBe(1_048_576)
    expect(parseRollup('', 'Pss')).toBe(0)
  })

  it('counts waiting for the disk as idle', () => {
    const stat = 'cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 50 0 50 350 50 0 0 0 0 0\n'
    expect(parseMachineTime(stat)).toEqual({ busySeconds: 2, totalSeconds: 10 })
  })

  it('finds children of children and nobody else', () => {
    const parents = new Map([
      [2, 1],
      [3, 2],
      [4, 3],
      [5, 1],
      [6, 4],
    ])
    expect(descendants(2, parents).toSorted()).toEqual([2, 3, 4, 6])
  })

  it.runIf(process.platform === 'linux')('adds a real child to its parent', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)'])
    await once(child.stdout, 'data')
    const whole = treeUsage(process.pid)
    const own = usageOf(child.pid ?? 0)
    child.kill()
    expect(own.pssBytes).toBeGreaterThan(0)
    expect(whole.rssBytes).toBeGreaterThan(own.rssBytes)
  })
})
