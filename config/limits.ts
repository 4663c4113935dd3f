/** A token bucket as a variable says it: `6000/60` is 6,000 at once, filled again within 60 s; `off` is no limit. */
import { z } from 'zod'

export interface BucketRule {
  readonly capacity: number
  readonly fullAfterSeconds: number
}

const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const

/** @param fallback in the variable's own words. */
export const bucket = (fallback: string) =>
  z
    .string()
    .regex(/^(?:off|[1-9]\d{0,8}[KMGT]?\/[1-9]\d{0,5})$/i, 'a count and seconds, such as 6000/60 or 64G/3600, or off')
    .transform((text): BucketRule | undefined => {
      const [, count = '', unit = '', seconds = ''] = /^(\d+)([KMGT]?)\/(\d+)$/i.exec(text) ?? []
      if (count === '') return undefined
      return {
        capacity: Number(count) * UNITS[unit.toUpperCase() as keyof typeof UNITS],
        fullAfterSeconds: Number(seconds),
      }
    })
    .prefault(fallback)
