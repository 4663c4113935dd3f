/** What a call that hides an asset says of the tiers in front of the origin. */
import { z } from '@hono/zod-openapi'

export const PurgeSchema = z
  .object({
    tiers: z.record(z.string(), z.string()).openapi({
      description: '`confirmed`, or why not; what was not confirmed is tried again',
      example: { 'http://edge1:8080/purge': 'confirmed' },
    }),
  })
  .openapi('PurgeReceipt')
