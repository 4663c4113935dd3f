import { describe, expect, it } from 'vitest'
import { calmest, mostRounds, takeTurns } from '../../bench/interleave.ts'

/** A machine whose disturbance of each round is known beforehand. */
const machine = (disturbances: readonly number[]) => {
  let round = 0
  return () => {
    const disturbance = disturbances[round] ?? 0
    round += 1
    return () => disturbance
  }
}

describe('measurements in turns', () => {
  it('begin each round with another side', async () => {
    const order: string[] = []
    const side = (name: string) => async (round: number) => {
      order.push(name)
      return `${name}${round}`
    }
    expect(await takeTurns(3, [side('a'), side('b')], machine([]))).toEqual([
      ['a0', 'a1', 'a2'],
      ['b0', 'b1', 'b2'],
    ])
    expect(order.join('')).toBe('abbaab')
  })

  it('repeat disturbed rounds and keep the calm ones of all sides', async () => {
    const side = (name: string) => async (round: number) => `${name}${round}`
    expect(await takeTurns(3, [side('a'), side('b')], machine([0, 0.5, 0, 0]))).toEqual([
      ['a0', 'a2', 'a3'],
      ['b0', 'b2', 'b3'],
    ])
  })

  it('end on a machine that never comes to rest', async () => {
    let rounds = 0
    const count = async () => {
      rounds += 1
      return rounds
    }
    const [kept] = await takeTurns(5, [count], () => () => 1)
    expect(rounds).toBe(mostRounds(5))
    expect(kept).toHaveLength(5)
  })

  it('choose the calmest in their order', () => {
    expect(calmest([0.3, 0.1, 0.9, 0.2], 2)).toEqual([1, 3])
  })
})
