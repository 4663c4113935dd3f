/** Port: the caches in front of the origins, as far as they have to know what may be shown. */
import type { Digest } from '../core/ids.ts'
import type { Change, ChangeNotices } from './coordination.ts'
import type { PurgeReceipt } from './purge-receipt.ts'

export interface EdgePurger {
  /**
   * After every change: edges forget a picture that no stranger may see now, and keep one again that was purged and is shown now.
   * Never rejects, and is bounded in time; what failed is tried again later. The receipt has the edges that were told.
   */
  follow(digest: Digest, change: Change): Promise<PurgeReceipt>
}

/** Notices that edges follow, whoever publishes them: the origin refuses before the edges are told, and the receipt has both. */
export const followedByEdges = (notices: ChangeNotices, edges: EdgePurger): ChangeNotices => ({
  subscribe: notices.subscribe,
  live: notices.live,
  publish: async (digest, change = 'changed') => {
    const receipt = await notices.publish(digest, change)
    const { tiers } = await edges.follow(digest, change)
    return { ...receipt, tiers: { ...receipt.tiers, ...tiers } }
  },
})
