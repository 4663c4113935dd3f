/** Port: the caches in front of the origins, as far as they have to know what may be shown. */
import type { Digest } from '../core/ids.ts'
import { NO_TIERS, type PurgeReceipt } from './purge-receipt.ts'

/** `refused`: it answered, but not that it did. `unreachable`: no answer in time, or it is known to be down. Both are tried again. */
export type EdgeOutcome = 'confirmed' | 'refused' | 'unreachable'

/** Neither rejects; both are bounded in time, and what failed is tried again later. */
export interface EdgePurger {
  /** For whoever hid an asset: every edge is to forget the picture, unless another asset still shows it. */
  purge(digest: Digest): Promise<PurgeReceipt>
  /** For whoever shows an asset again: the edges may keep the picture again, unless it was hidden meanwhile. */
  show(digest: Digest): Promise<PurgeReceipt>
}

/** Where there is no edge. */
export const NO_EDGES: EdgePurger = { purge: async () => NO_TIERS, show: async () => NO_TIERS }
