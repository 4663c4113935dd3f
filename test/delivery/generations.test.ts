import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createGenerations } from '../../src/delivery/generations.ts'

it('keeps what is used and forgets what is not', () => {
  const memory = createGenerations<number, string>(10)
  memory.set(0, 'used')
  memory.set(1, 'unused')
  for (let i = 2; i < 100; i += 1) {
    memory.set(i, 'passing')
    expect(memory.get(0)).toBe('used')
  }
  expect(memory.get(1)).toBeUndefined()
})

it('never answers with another value than the last one set', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), fc.option(fc.nat(), { nil: undefined }))), (steps) => {
      const memory = createGenerations<number, number>(8)
      const model = new Map<number, number>()
      for (const [key, value] of steps) {
        if (value === undefined) expect([undefined, model.get(key)]).toContain(memory.get(key))
        else {
          memory.set(key, value)
          model.set(key, value)
          expect(memory.get(key)).toBe(value)
        }
      }
    }),
  )
})
