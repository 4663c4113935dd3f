import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createInProcessLeases } from '../../src/coordination/in-process.ts'
import { type Bucket, createInProcessLimits, takeTokens } from '../../src/coordination/token-bucket.ts'
import { limitsContract, renderLeasesContract } from '../contract/coordination.ts'

renderLeasesContract('in process', createInProcessLeases)
limitsContract('in process', createInProcessLimits)

describe('a token bucket', () => {
  it('never gives more than its capacity and what was filled since, and is right about when to come back', () => {
    const step = fc.record({ afterMs: fc.integer({ min: 0, max: 5_000 }), cost: fc.integer({ min: 1, max: 12 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const rule = { capacity: 10, fullAfterSeconds: 20 }
        let bucket: Bucket | undefined
        let [nowMs, given] = [0, 0]
        for (const { afterMs, cost } of steps) {
          nowMs += afterMs
          const taken = takeTokens(rule, bucket, cost, nowMs)
          if (taken.verdict.allowed) given += cost
          else if (cost <= rule.capacity) {
            const later = nowMs + taken.verdict.resetSeconds * 1000
            expect(takeTokens(rule, taken.bucket, cost, later).verdict.allowed).toBe(true)
          }
          bucket = taken.bucket
          expect(given).toBeLessThanOrEqual(rule.capacity + (nowMs / 1000) * (rule.capacity / rule.fullAfterSeconds))
        }
      }),
    )
  })
})
