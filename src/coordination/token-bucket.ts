/** Token buckets in memory: what limits one process, and what stands in while nothing is shared. */
import { LRUCache } from 'lru-cache'
import type { RateLimits, RateRule, RateVerdict } from './coordination.ts'

export interface Bucket {
  readonly tokens: number
  readonly atMs: number
}

/** Pure: the bucket after the attempt, and the verdict. A refused attempt takes nothing. */
export const takeTokens = (
  { capacity, fullAfterSeconds }: RateRule,
  before: Bucket | undefined,
  cost: number,
  nowMs: number,
): { readonly bucket: Bucket; readonly verdict: RateVerdict } => {
  const perMs = capacity / (fullAfterSeconds * 1000)
  const filled = before ? before.tokens + Math.max(nowMs - before.atMs, 0) * perMs : capacity
  const tokens = Math.min(capacity, filled)
  const allowed = tokens >= cost
  const left = allowed ? tokens - cost : tokens
  const resetMs = allowed ? (capacity - left) / perMs : (cost - tokens) / perMs
  return {
    bucket: { tokens: left, atMs: nowMs },
    verdict: { allowed, remaining: Math.floor(left), resetSeconds: Math.ceil(resetMs / 1000) },
  }
}

/** 100 bytes and the key's own each: some 20 MB. Forgetting the least recent one fills its bucket again. */
const MAX_BUCKETS = 100_000

export const createInProcessLimits = <Name extends string>(
  rules: Readonly<Record<Name, RateRule>>,
): RateLimits<Name> => {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_BUCKETS })
  return {
    take: async (name, key, cost) => {
      const id = `${name}:${key}`
      const { bucket, verdict } = takeTokens(rules[name], buckets.get(id), cost, performance.now())
      buckets.set(id, bucket)
      return verdict
    },
  }
}
