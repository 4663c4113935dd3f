/** A delivery event: one row per image request. Split by what is the same for every request of one representation. */
import type { OutputFormat } from './image.ts'

/**
 * Who answered: this process's memory, the variant store, a fresh render, the original's bytes, or nobody (errors, 304).
 * `edge`: a cache in front of us, by its own log; what it had to ask us for is an event of ours as well.
 */
export type CacheTier = 'memory' | 'disk' | 'render' | 'original' | 'none' | 'edge'

/** The part that is fixed for one representation of one URL form. */
export interface EventSubject {
  readonly hash: string
  readonly owner: string
  /** Pixels asked for (0: natural) and served (0: nothing was). */
  readonly askedWidth: number
  readonly askedHeight: number
  readonly servedWidth: number
  readonly servedHeight: number
  readonly formatAsked: OutputFormat | 'auto' | 'original' | 'info' | ''
  readonly formatServed: string
  readonly variantClass: string
  /** 1, 1.5, 2…; the DPR that was applied. */
  readonly dpr: number
  readonly slowNetwork: boolean
  readonly originalBytes: number
}

/** The part that differs from request to request. Raw header text: the recorder parses, truncates and bounds it. */
export interface EventOccurrence {
  readonly tier: CacheTier
  readonly status: number
  readonly bytesSent: number
  readonly queueMs: number
  readonly renderMs: number
  readonly totalMs: number
  readonly userAgent: string
  readonly referrer: string
  /** Two letters if the edge says it (`CF-IPCountry`, `CloudFront-Viewer-Country`, `X-Country`), else ''. */
  readonly country: string
  readonly clientAddress: string
}
