import type { TierOutcome } from './coordination.ts'

/** Which tiers have confirmed that they forgot a hash: for the answer of the call that hid it. */
export interface PurgeReceipt {
  /** By tier, such as an edge's address: `confirmed`, or why not. Empty where there is no tier to tell. */
  readonly tiers: Readonly<Record<string, TierOutcome>>
}

export const NO_TIERS: PurgeReceipt = { tiers: {} }
