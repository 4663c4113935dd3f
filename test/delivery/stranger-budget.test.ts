import { expect, it } from 'vitest'
import type { RenderPlan } from '../../src/core/render-plan.ts'
import { createStrangerBudget } from '../../src/delivery/stranger-budget.ts'
import { digest } from './picture.ts'

const plain = { format: 'webp', quality: 'auto', gravity: 'center' } as RenderPlan
const cropped = { ...plain, crop: { left: 0, top: 0, width: 1, height: 1 } }

const spendUntilRefused = (budget: ReturnType<typeof createStrangerBudget>, nowMs: number): number => {
  for (let spent = 0; spent < 10_000; spent += 1) {
    try {
      budget.spend(digest, cropped, nowMs)
    } catch (error) {
      expect(error).toMatchObject({ kind: 'rate-limited', retryAfterSeconds: 2 })
      return spent
    }
  }
  throw new Error('never refused')
}

it('bounds free-form renders of one image, and refills with time', () => {
  const budget = createStrangerBudget()
  expect(spendUntilRefused(budget, 0)).toBe(500)
  expect(spendUntilRefused(budget, 10_000)).toBe(5)
})

it('never counts plans from the closed sets', () => {
  const budget = createStrangerBudget()
  for (let i = 0; i < 5_000; i += 1) budget.spend(digest, plain, 0)
  expect(spendUntilRefused(budget, 0)).toBe(500)
})
