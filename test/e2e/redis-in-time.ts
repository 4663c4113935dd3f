/** Whether Redis, and the origins behind it, kept to their limits of a fraction of a second: what is promised of them beyond that is less. */
import { expect } from 'vitest'
import { sumOf } from './metric.ts'
import type { Origin } from './origin.ts'

const LATE = [
  'redis_failures_total',
  'redis_refused_total',
  'redis_render_alone_total',
  'redis_render_lost_total',
  'redis_notice_unconfirmed_total',
  'redis_notice_unsaid',
  'redis_cache_faults_total',
]

/** How often since their start something of it was too late. */
export const timesLate = async (origins: readonly Origin[]): Promise<number> => {
  const counts = await Promise.all(LATE.map((name) => sumOf(origins, name)))
  return counts.reduce((sum, count) => sum + count, 0)
}

/**
 * Each time that Redis is late costs one render at most. So it is judged by the first of the pictures at which it never was; of a machine that
 * stands still now and then, the next is another chance.
 * @param ask asks all origins for what `paths` name, which nobody has rendered yet.
 */
export const expectOneRender = async (
  origins: readonly Origin[],
  paths: readonly string[],
  ask: (path: string) => Promise<void>,
): Promise<void> => {
  for (const path of paths) {
    const [rendered, late] = [await sumOf(origins, 'renderers_rendered_total'), await timesLate(origins)]
    await ask(path)
    const renders = (await sumOf(origins, 'renderers_rendered_total')) - rendered
    const missed = (await timesLate(origins)) - late
    expect(renders).toBeGreaterThanOrEqual(1)
    expect(renders).toBeLessThanOrEqual(1 + missed)
    if (missed === 0) return
  }
  throw new Error(`Redis was late at each of ${paths.length} pictures: nothing is proven`)
}
