/** What analysts may ask by and for: the closed tables from which every identifier of a query comes. */

interface Dimension {
  /** SQL over columns of the events table; never contains anything a caller sent. */
  readonly sql: string
  readonly kind: 'text' | 'number' | 'time'
  readonly about: string
}

/** Times are texts in ISO 8601, UTC, so that JSON, CSV and spreadsheets read them alike. */
export const DIMENSIONS = {
  minute: { sql: "formatDateTime(time, '%Y-%m-%dT%H:%i:00Z', 'UTC')", kind: 'time', about: 'start of the minute' },
  hour: { sql: "formatDateTime(time, '%Y-%m-%dT%H:00:00Z', 'UTC')", kind: 'time', about: 'start of the hour' },
  day: { sql: "formatDateTime(time, '%Y-%m-%d', 'UTC')", kind: 'time', about: 'day, UTC' },
  format: { sql: 'format_served', kind: 'text', about: 'format served' },
  format_asked: { sql: 'format_asked', kind: 'text', about: 'format in the URL' },
  class: { sql: 'class', kind: 'text', about: 'class of the negotiation' },
  tier: { sql: 'tier', kind: 'text', about: 'who answered: memory, disk, render, original, none; edge by its own log' },
  // What an edge does not have it asks us for, and both write a line: a question about one traffic names one layer.
  layer: { sql: "if(tier = 'edge', 'edge', 'origin')", kind: 'text', about: 'whose log: origin or edge' },
  status: { sql: 'status', kind: 'number', about: 'HTTP status' },
  device: { sql: 'device', kind: 'text', about: 'phone, tablet, desktop, tv, bot, other' },
  browser: { sql: 'browser', kind: 'text', about: 'browser family' },
  os: { sql: 'os', kind: 'text', about: 'operating system' },
  dpr: { sql: 'round(toFloat64(dpr), 3)', kind: 'number', about: 'device pixel ratio applied' },
  network: { sql: "if(slow_network, 'slow', 'normal')", kind: 'text', about: 'slow or normal' },
  country: { sql: 'country', kind: 'text', about: 'country, where the edge says it' },
  referrer: { sql: 'referrer_host', kind: 'text', about: 'host of the referring page' },
  hash: { sql: 'hash', kind: 'text', about: 'the original' },
  owner: { sql: 'owner', kind: 'text', about: 'owner of the asset' },
  width: { sql: 'served_width', kind: 'number', about: 'width served, pixels' },
} as const satisfies Record<string, Dimension>

export type DimensionName = keyof typeof DIMENSIONS
export const DIMENSION_NAMES = Object.keys(DIMENSIONS) as DimensionName[]

/**
 * Dimensions that an equality filter may name, with the name of its parameter: a time is filtered by `from` and `to`, and
 * `format` is the answer's.
 */
export const FILTERS: readonly { readonly parameter: string; readonly name: DimensionName }[] = DIMENSION_NAMES.filter(
  (name) => DIMENSIONS[name].kind !== 'time',
).map((name) => ({ parameter: name === 'format' ? 'format_served' : name, name }))

interface Metric {
  readonly sql: string
  readonly about: string
}

// A hit is an answer from bytes that were ready; a render made them. 304s and errors are neither.
const HITS = "countIf(tier IN ('memory', 'disk'))"
const RENDERS = "countIf(tier = 'render')"
const percentile = (level: number): string => `round(toFloat64(quantileTDigest(${level})(total_ms)), 3)`

export const METRICS = {
  requests: { sql: 'count()', about: 'image requests' },
  bytes_sent: { sql: 'sum(bytes_sent)', about: 'body bytes sent' },
  bytes_original: { sql: 'sum(bytes_original)', about: 'bytes of the originals asked for' },
  bytes_saved: {
    sql: 'sumIf(toInt64(bytes_original) - toInt64(bytes_sent), status = 200 AND served_width > 0 AND bytes_sent > 0)',
    about: 'originals minus sent, over answers of 200 with a picture',
  },
  hits: { sql: HITS, about: 'answered from memory or the variant store' },
  hit_ratio: {
    sql: `if(${HITS} + ${RENDERS} = 0, NULL, round(${HITS} / (${HITS} + ${RENDERS}), 4))`,
    about: 'hits / (hits + renders); null where there were neither',
  },
  renders: { sql: RENDERS, about: 'rendered for this request' },
  errors: { sql: 'countIf(status >= 400)', about: 'answers of 400 and above' },
  p50_ms: { sql: percentile(0.5), about: 'median time to answer, ms' },
  p95_ms: { sql: percentile(0.95), about: '95th percentile, ms' },
  p99_ms: { sql: percentile(0.99), about: '99th percentile, ms' },
  avg_queue_ms: {
    sql: `round(avgIf(queue_ms, tier = 'render'), 3)`,
    about: 'mean wait for a renderer, over renders; null without',
  },
  avg_render_ms: {
    sql: `round(avgIf(render_ms, tier = 'render'), 3)`,
    about: 'mean render time, over renders; null without',
  },
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof METRICS
export const METRIC_NAMES = Object.keys(METRICS) as MetricName[]
