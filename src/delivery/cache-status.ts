/** `Cache-Status` (RFC 9211): one member per tier, the one nearest the origin first; and `Server-Timing` beside it. */
import type { RenderTiming } from '../core/variant.ts'
import type { Obtained } from './obtain.ts'
import type { Kept } from './tiers.ts'

/** A tier that did not have it: whether it does now, and whether a request before this one had asked on. */
const missed = (tier: string, stored: boolean, collapsed: boolean): string =>
  `${tier}; fwd=miss${stored ? '; stored' : ''}${collapsed ? '; collapsed' : ''}`

/**
 * @param kept where the variant is kept after this request; a hit does not say.
 * @param collapsed the answer came from a render that another request had begun.
 */
export const cacheStatus = (tier: Obtained['tier'], kept: Kept, collapsed: boolean): string => {
  switch (tier) {
    case 'memory':
      return HOT_CACHE_STATUS
    case 'disk':
      return `oriel-store; hit, ${missed('oriel-memory', kept.memory, false)}`
    case 'render':
      return `${missed('oriel-store', kept.store, collapsed)}, ${missed('oriel-memory', kept.memory, collapsed)}`
    default:
      return tier satisfies never
  }
}

export const HOT_CACHE_STATUS = 'oriel-memory; hit'
export const HOT_SERVER_TIMING = 'memory;desc="hit"'
/** A 304 made from the URL alone, or from nothing that a tier keeps. */
export const BYPASS_CACHE_STATUS = 'oriel-memory; fwd=bypass'

export const totalTiming = (totalMs: number): string => `total;dur=${totalMs.toFixed(1)}`

/** Milliseconds with one decimal, as the Server Timing specification's `dur`. */
export const serverTiming = (tier: Obtained['tier'], timing: RenderTiming, totalMs: number): string =>
  tier === 'render'
    ? `queue;dur=${timing.queueMs.toFixed(1)}, render;dur=${timing.renderMs.toFixed(1)}, ${totalTiming(totalMs)}`
    : `${tier};desc="hit", ${totalTiming(totalMs)}`
