/** What the generated edges share, and what tests set otherwise: ports, folders, times. */

/**
 * How long an edge takes an answer for fresh, in seconds. A browser may keep it for the year that `Cache-Control` says; an edge
 * asks once a day (a 304 costs no pixels), so that a purge that never arrived heals within a day. As in `CDN-Cache-Control`.
 */
export { EDGE_FRESH_SECONDS } from '../../src/delivery/headers.ts'

/** A refused picture is refused again without asking for as long: CONTRACT §1, "404 may be cached for seconds". */
export const REFUSED_SECONDS = 5

export interface NginxSettings {
  /** Arguments of `worker_processes`. */
  readonly workers: string
  readonly listen: string
  /** Where the cache asks for what it lacks: on this machine, for nobody else. */
  readonly inner: string
  /** A whole `server` line of an upstream each. */
  readonly origins: readonly string[]
  readonly cacheFolder: string
  /** Bodies of uploads, and below it one empty file for each hash that was purged. nginx makes it, for its own user. */
  readonly bodyFolder: string
  readonly logFile: string
  readonly pidFile: string
  /** As nginx writes sizes. */
  readonly cacheSize: string
  readonly refusedSeconds: number
}
