import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createGroupCommit } from '../../src/core/group-commit.ts'

const recorded = (maxBatch = 64) => {
  const batches: number[][] = []
  const group = createGroupCommit<number>(async (items) => {
    await sleep(1)
    if (items.includes(13)) throw new Error('unlucky')
    batches.push([...items])
  }, maxBatch)
  return { batches, group }
}

describe('a group commit', () => {
  it('gathers what comes while a batch is under way, in order and bounded', async () => {
    const { batches, group } = recorded(3)
    await Promise.all([1, 2, 3, 4, 5].map((item) => group.commit(item)))
    expect(batches).toEqual([[1], [2, 3, 4], [5]])
    expect(group.stats).toEqual({ batches: 3, items: 5, split: 0 })
  })

  it('fails only the guilty one of a batch', async () => {
    const { batches, group } = recorded()
    const settled = await Promise.allSettled([1, 12, 13, 14].map((item) => group.commit(item)))
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect(batches).toEqual([[1], [12], [14]])
  })
})
