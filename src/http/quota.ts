/** Token buckets of an owner, spent by the calls that cost us something: 429 when one is empty, and headers that say how full each is. */
import type { Context } from 'hono'
import { AppError } from '../core/errors.ts'
import type { Env } from './context.ts'

export const QUOTA_NAMES = ['uploads', 'upload-bytes', 'prechecks', 'claims'] as const
export type QuotaName = (typeof QUOTA_NAMES)[number]

/** Tokens at once, and how long an empty bucket takes to fill. Absent: no limit. */
export type QuotaRules = Readonly<
  Partial<Record<QuotaName, { readonly capacity: number; readonly fullAfterSeconds: number }>>
>

/** What coordination's `RateLimits` gives. */
export interface QuotaLimits {
  take(
    name: QuotaName,
    key: string,
    cost: number,
  ): Promise<{ readonly allowed: boolean; readonly remaining: number; readonly resetSeconds: number }>
}

export interface Quota {
  readonly stats: Readonly<{ taken: number; refused: number }>
  /**
   * Takes `cost` from the caller's bucket, all of it where the bucket is smaller: a file larger than the bucket is let in when that is
   * full. To be called behind a guard. @throws AppError `rate-limited` saying when to come back.
   */
  spend(c: Context<Env>, name: QuotaName, cost: number): Promise<void>
}

/** No limits. */
export const NO_QUOTA: Quota = { stats: { taken: 0, refused: 0 }, spend: async () => {} }

/** Bytes are counted by the KiB, so that a bucket of any size is an exact number everywhere. */
const KIB = 1024
const UNITS: Readonly<Record<QuotaName, { readonly size: number; readonly suffix: string }>> = {
  uploads: { size: 1, suffix: '' },
  'upload-bytes': { size: KIB, suffix: ';qu="content-bytes"' },
  prechecks: { size: 1, suffix: '' },
  claims: { size: 1, suffix: '' },
}

/** In the bucket's own unit, at least one. */
const inUnits = (name: QuotaName, amount: number): number => Math.max(1, Math.ceil(amount / UNITS[name].size))

/** The rules as the buckets count them. */
export const rulesInUnits = (rules: QuotaRules): QuotaRules =>
  Object.fromEntries(
    QUOTA_NAMES.flatMap((name) => {
      const rule = rules[name]
      return rule ? [[name, { ...rule, capacity: inUnits(name, rule.capacity) }] as const] : []
    }),
  )

/** @param rules as `rulesInUnits` gives them; `limits` has the same. The admin key is not limited unless `limitAdmin`. */
export const createQuota = (limits: QuotaLimits, rules: QuotaRules, limitAdmin: boolean): Quota => {
  const stats = { taken: 0, refused: 0 }
  return {
    stats,
    spend: async (c, name, amount) => {
      const rule = rules[name]
      const { ownerId, admin } = c.get('principal')
      if (!rule || (admin && !limitAdmin)) return
      const cost = Math.min(inUnits(name, amount), rule.capacity)
      const { allowed, remaining, resetSeconds } = await limits.take(name, ownerId, cost)
      stats[allowed ? 'taken' : 'refused'] += 1
      // draft-ietf-httpapi-ratelimit-headers-10 §3 and §4: a list, one member for each bucket.
      const { size, suffix } = UNITS[name]
      const policy = `"${name}";q=${rule.capacity * size};w=${rule.fullAfterSeconds}${suffix}`
      const state = `"${name}";r=${remaining * size};t=${resetSeconds}`
      c.header('RateLimit-Policy', policy, { append: true })
      c.header('RateLimit', state, { append: true })
      if (!allowed)
        throw new AppError('rate-limited', `your ${name} of ${rule.fullAfterSeconds} s are used up`, {
          retryAfterSeconds: Math.max(1, resetSeconds),
          headers: { 'RateLimit-Policy': policy, RateLimit: state },
        })
    },
  }
}

/** @param bytes of the whole file. @throws AppError `rate-limited`. */
export const payUpload = async (quota: Quota, c: Context<Env>, bytes: number): Promise<void> => {
  await quota.spend(c, 'uploads', 1)
  await quota.spend(c, 'upload-bytes', bytes)
}
