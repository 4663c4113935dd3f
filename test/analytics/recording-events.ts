/** Events and a log for the analytics tests; also for the process that is killed while recording. */
import type { AnalyticsLog } from '../../src/analytics/log.ts'
import type { EventOccurrence, EventSubject } from '../../src/core/event.ts'

export interface LogLine {
  readonly level: string
  readonly message: string
}

export const createLog = (): AnalyticsLog & { readonly lines: LogLine[] } => {
  const lines: LogLine[] = []
  const at = (level: string) => (_: object, message: string) => void lines.push({ level, message })
  return { lines, info: at('info'), warn: at('warn'), error: at('error') }
}

export const SUBJECT: EventSubject = {
  hash: 'ab'.repeat(32),
  owner: 'acme',
  askedWidth: 800,
  askedHeight: 600,
  servedWidth: 800,
  servedHeight: 533,
  formatAsked: 'auto',
  formatServed: 'avif',
  variantClass: 'avif-w800-d2',
  dpr: 2,
  slowNetwork: false,
  originalBytes: 2_345_678,
}

export const OCCURRENCE: EventOccurrence = {
  tier: 'memory',
  status: 200,
  bytesSent: 20_000,
  queueMs: 0,
  renderMs: 0,
  totalMs: 0.25,
  userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0',
  referrer: 'https://shop.example.com/p/1?user=me',
  country: 'DE',
  clientAddress: '203.0.113.9',
}
