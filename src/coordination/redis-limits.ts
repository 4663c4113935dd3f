/** Token buckets that all instances share; while Redis is gone each instance has its own, so that a limit is never lifted. */
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import type { RateLimits, RateRule, RateVerdict } from './coordination.ts'
import type { RedisConnection } from './redis-connection.ts'
import { createInProcessLimits } from './token-bucket.ts'

/**
 * `takeTokens` as a script in the library's terms. KEYS bucket; ARGV cost, (unused), capacity, seconds to full. Answers the tokens
 * in use and the ms to wait. To the library more in use than there are means refused: then it is one more than all, and the used.
 */
const TAKE = `
local cost, capacity, full = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]) * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = capacity
if bucket[1] then tokens = math.min(capacity, bucket[1] + math.max(now - bucket[2], 0) * capacity / full) end
if tokens < cost then return {2 * capacity + 1 - math.floor(tokens), math.ceil((cost - tokens) * full / capacity)} end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - cost), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], full)
return {capacity - math.floor(tokens - cost), math.ceil((capacity - tokens + cost) * full / capacity)}`

export interface LimitStats {
  taken: number
  refused: number
  /** Judged by this instance alone. */
  insured: number
}

/** @param stats counts in it, so that several sets of rules are counted together. */
export const createRedisLimits = <Name extends string>(
  { prefix, client, run }: RedisConnection,
  rules: Readonly<Record<Name, RateRule>>,
  stats: LimitStats,
): RateLimits<Name> => {
  const insurance = createInProcessLimits(rules)
  const limiters = new Map<Name, RateLimiterRedis>()
  const limiterOf = (name: Name): RateLimiterRedis => {
    const { capacity: points, fullAfterSeconds: duration } = rules[name]
    const made =
      limiters.get(name) ??
      new RateLimiterRedis({
        storeClient: client,
        keyPrefix: `${prefix}limit:${name}`,
        points,
        duration,
        customIncrTtlLuaScript: TAKE,
      })
    limiters.set(name, made)
    return made
  }

  const takeShared = async (name: Name, key: string, cost: number): Promise<RateVerdict> => {
    const judged = await run(() => limiterOf(name).consume(key, cost).catch(refusal))
    const resetSeconds = Math.ceil(judged.msBeforeNext / 1000)
    const { capacity } = rules[name]
    const allowed = judged.consumedPoints <= capacity
    const used = allowed ? judged.consumedPoints : judged.consumedPoints - capacity - 1
    return { allowed, remaining: capacity - used, resetSeconds }
  }

  return {
    take: async (name, key, cost) => {
      const verdict = await takeShared(name, key, cost).catch(() => {
        stats.insured += 1
        return insurance.take(name, key, cost)
      })
      stats[verdict.allowed ? 'taken' : 'refused'] += 1
      return verdict
    },
  }
}

/** The library throws a refusal as it throws a failure. */
const refusal = (thrown: unknown): RateLimiterRes => {
  if (thrown instanceof RateLimiterRes) return thrown
  throw thrown
}
