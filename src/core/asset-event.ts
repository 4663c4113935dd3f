/** What happens to assets, as far as work that is done after the answer has to know; and the kinds of such work. */
import type { Digest } from './ids.ts'

/**
 * `added`: an upload made it. `hidden`: deleted, or made private. `shown`: restored, or made public. `updated`: any other change
 * of its details. `purged`: its row is gone for good.
 */
export type AssetEventKind = 'added' | 'updated' | 'hidden' | 'shown' | 'purged'

export interface AssetEvent {
  readonly kind: AssetEventKind
  readonly digest: Digest
}

export const JOB_KINDS = ['purge-edge', 'scan', 'prewarm', 'notify'] as const
export type JobKind = (typeof JOB_KINDS)[number]

/** Which work an event asks for. Decided once, by the configuration: an event that nobody wants leaves no row. */
export type JobRoutes = Readonly<Record<AssetEventKind, readonly JobKind[]>>
