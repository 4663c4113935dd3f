/** Notices over two ways at once: one that a change cannot do without, one that says who heard. */
import type { ChangeNotices } from './coordination.ts'

/**
 * @param sure the way that decides: what it missed is forgotten, and without it nothing is remembered. PostgreSQL's, since a
 * change that could be made could be told there.
 * @param quick tells sooner and knows who confirmed; may be down. Redis's. A change heard twice is forgotten twice.
 */
export const bothNotices = (sure: ChangeNotices, quick: ChangeNotices): ChangeNotices => ({
  publish: async (digest) => {
    const [, receipt] = await Promise.all([sure.publish(digest), quick.publish(digest)])
    return receipt
  },
  subscribe: (listener) => {
    const stops = [sure.subscribe(listener), quick.subscribe(listener)]
    return () => {
      for (const stop of stops) stop()
    }
  },
  live: sure.live,
})
