/** What the event row needs of one request, read from node's request object without parsing: the recorder does that later. */
import type { IncomingMessage } from 'node:http'
import type { CacheTier, EventOccurrence } from '../core/event.ts'
import { NO_RENDER, type RenderTiming } from '../core/variant.ts'
import type { HeaderReader } from './deliver.ts'

/** Of a header sent twice, node joins what may be joined; of the rest the first counts. */
export const headerReader =
  (request: IncomingMessage): HeaderReader =>
  (name) => {
    const value = request.headers[name]
    return typeof value === 'string' ? value : value?.[0]
  }

export type Occurrences = (
  request: IncomingMessage,
  tier: CacheTier,
  status: number,
  bytesSent: number,
  startedAt: number,
  timing?: RenderTiming,
) => EventOccurrence

/**
 * @param trustProxy believe the last entry of `X-Forwarded-For`: the one that our own proxy appended.
 * @returns a function from a request and its outcome to the event's changing part. `startedAt` is on `performance.now`'s clock.
 */
export const createOccurrences =
  (trustProxy: boolean): Occurrences =>
  (request, tier, status, bytesSent, startedAt, timing = NO_RENDER) => {
    const { headers } = request
    return {
      tier,
      status,
      bytesSent,
      queueMs: timing.queueMs,
      renderMs: timing.renderMs,
      totalMs: performance.now() - startedAt,
      userAgent: headers['user-agent'] ?? '',
      referrer: headers.referer ?? '',
      country: single(headers['cf-ipcountry'] ?? headers['cloudfront-viewer-country'] ?? headers['x-country']),
      clientAddress: (trustProxy && lastForwarded(headers['x-forwarded-for'])) || (request.socket.remoteAddress ?? ''),
    }
  }

const single = (value: string | string[] | undefined): string =>
  typeof value === 'string' ? value : (value?.[0] ?? '')

const lastForwarded = (value: string | string[] | undefined): string => single(value).split(',').at(-1)?.trim() ?? ''
