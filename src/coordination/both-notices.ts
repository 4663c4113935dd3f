/** Notices over two ways at once: one that a change cannot do without, one that says who heard. */
import type { ChangeNotices } from './coordination.ts'

/**
 * Each way tells every change, so hearing either without a gap is enough to rely on what is remembered: pictures that are
 * remembered go on being served while PostgreSQL restarts. (What one instance says over `sure` alone, because it cannot reach
 * `quick`, an instance that hears `quick` alone misses; the receipt then says that not all have confirmed.)
 * @param sure the way without which a change is not made. PostgreSQL's, since a change that could be made could be told there.
 * @param quick tells sooner and knows who confirmed; may be down. Redis's. A change heard twice is forgotten twice.
 */
export const bothNotices = (sure: ChangeNotices, quick: ChangeNotices): ChangeNotices => ({
  publish: async (digest) => {
    const [, receipt] = await Promise.all([sure.publish(digest), quick.publish(digest)])
    return receipt
  },
  subscribe: (listener) => {
    const stops = [
      sure.subscribe((changed) => {
        const merelyLost = changed === 'all' && !sure.live() && quick.live()
        if (!merelyLost) listener(changed)
      }),
      quick.subscribe(listener),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  },
  live: () => sure.live() || quick.live(),
})
