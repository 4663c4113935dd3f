/** `Cache-Status` (RFC 9211): one member per tier, the one nearest the origin first; and `Server-Timing` beside it. */
import type { CacheTier } from '../core/event.ts'
import type { RenderTiming } from '../core/variant.ts'

/** @param collapsed the answer came from a render that another request had begun. */
export const cacheStatus = (tier: CacheTier, collapsed: boolean): string => {
  switch (tier) {
    case 'memory':
      return 'oriel-memory; hit'
    case 'disk':
      return 'oriel-store; hit, oriel-memory; fwd=miss; stored'
    case 'render': {
      const shared = collapsed ? '; collapsed' : ''
      return `oriel-store; fwd=miss; stored${shared}, oriel-memory; fwd=miss; stored${shared}`
    }
    case 'original':
      return 'oriel-store; hit'
    case 'none':
      return 'oriel-memory; fwd=bypass'
    default:
      return tier satisfies never
  }
}

export const HOT_SERVER_TIMING = 'memory;desc="hit"'

/** Milliseconds with one decimal, as the Server Timing specification's `dur`. */
export const serverTiming = (tier: CacheTier, timing: RenderTiming, totalMs: number): string =>
  tier === 'render'
    ? `queue;dur=${timing.queueMs.toFixed(1)}, render;dur=${timing.renderMs.toFixed(1)}, total;dur=${totalMs.toFixed(1)}`
    : `${tier};desc="hit", total;dur=${totalMs.toFixed(1)}`
