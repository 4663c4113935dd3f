/**
 * How many *free-form* variants a stranger may have rendered of one original. Sizes of an unsigned URL are on the ladder, and
 * formats, fits, turns and quality levels are few. Rectangles, colours and numbers are not, or multiply to millions, so each
 * original has a token bucket for renders that use one. Signed URLs are not counted: their options are the signer's own.
 */
import { LRUCache } from 'lru-cache'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'
import type { RenderPlan } from '../core/render-plan.ts'

/** A page with a few hundred hand-made crops renders at once; a loop over rectangles is slowed to one render in 2 s. */
const BURST = 500
const REFILL_PER_SECOND = 0.5
/** 50 bytes each: 5 MB. Forgetting the least recent one refills its bucket, which the render queue then still bounds. */
const MAX_BUCKETS = 100_000

/** 2048 × 2048: 64 pixels blown up to 8192 × 8192 cost 7 s and a file of 73 MB (measured). */
const MAX_ENLARGED_PIXELS = 2048 * 2048

interface Bucket {
  tokens: number
  atMs: number
}

const isFreeForm = (plan: RenderPlan): boolean =>
  plan.crop !== undefined ||
  plan.background !== undefined ||
  plan.blur !== undefined ||
  plan.sharpen !== undefined ||
  plan.enlarge ||
  typeof plan.quality === 'number' ||
  typeof plan.gravity === 'object'

export interface StrangerBudget {
  /** @throws AppError `forbidden` for a huge enlargement, `rate-limited` when the original's bucket is empty. Call only for a render, not for a cached answer. */
  spend(digest: Digest, plan: RenderPlan, nowMs: number): void
}

export const createStrangerBudget = (): StrangerBudget => {
  const buckets = new LRUCache<Digest, Bucket>({ max: MAX_BUCKETS })
  return {
    spend(digest, plan, nowMs) {
      if (!isFreeForm(plan)) return
      const { width = 0, height = 0 } = plan
      if (plan.enlarge && width * height > MAX_ENLARGED_PIXELS)
        throw new AppError('forbidden', `the picture is blown up to ${width}×${height} only with a signature`)
      const bucket = buckets.get(digest) ?? { tokens: BURST, atMs: nowMs }
      bucket.tokens = Math.min(BURST, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * REFILL_PER_SECOND)
      bucket.atMs = nowMs
      buckets.set(digest, bucket)
      if (bucket.tokens < 1)
        throw new AppError(
          'rate-limited',
          'too many different crops, colours and numbers asked of this image without a signature',
          {
            retryAfterSeconds: Math.ceil((1 - bucket.tokens) / REFILL_PER_SECOND),
          },
        )
      bucket.tokens -= 1
    },
  }
}
