/** The logger, and the metrics: areas keep plain counters, which are read when Prometheus asks, so that counting costs nothing. */

import { type Logger, pino } from 'pino'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** JSON lines on standard output. Credentials are cut out wherever a header object is logged. */
export const createLogger = (level: string): Logger =>
  pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: ['*.authorization', '*.cookie', 'authorization', 'cookie'], censor: '[redacted]' },
  })

/** A group of numbers of one area, read at every scrape. Names become `oriel_<area>_<name in snake case>`, counters with `_total`. */
export interface StatsSource {
  readonly area: string
  readonly read: () => Readonly<Record<string, unknown>>
}

export interface Metrics {
  readonly registry: Registry
  readonly requests: Counter<'method' | 'status'>
  readonly requestSeconds: Histogram<'route'>
}

/**
 * @param sources the areas' counters, whose names must all be there from the start. What is no number is passed over.
 */
export const createMetrics = (sources: readonly StatsSource[]): Metrics => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { area, read } of sources) {
    const numbers = () => numbersIn(read(), `oriel_${area}`)
    for (const [name] of numbers())
      registerNumber(registry, name, `${area}: ${name}`, () => new Map(numbers()).get(name) ?? 0)
  }
  return {
    registry,
    requests: new Counter({
      name: 'oriel_api_requests_total',
      help: 'API requests by method and status (image requests are counted by oriel_delivery_*)',
      labelNames: ['method', 'status'],
      registers: [registry],
    }),
    requestSeconds: new Histogram({
      name: 'oriel_api_request_seconds',
      help: 'API request duration by route',
      labelNames: ['route'],
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
      registers: [registry],
    }),
  }
}

/** What is so now and may fall; every other number only grows, and is a counter, whose name ends so (prometheus.io/docs/practices/naming). */
const NOW: ReadonlySet<string> = new Set([
  'oriel_delivery_memory_bytes',
  'oriel_delivery_memory_entries',
  'oriel_delivery_writing',
  'oriel_delivery_subjects',
  'oriel_renderers_running',
  'oriel_renderers_running_cost',
  'oriel_renderers_waiting',
  'oriel_renderers_waiting_cost',
  'oriel_renderers_probing',
  'oriel_renderers_waiting_probes',
  'oriel_renderers_processes',
  'oriel_renderers_rss_bytes',
  'oriel_metadata_connections',
  'oriel_metadata_idle',
  'oriel_metadata_waiting',
  'oriel_locker_held',
  'oriel_locker_contending',
  'oriel_originals_threads_running',
  'oriel_originals_threads_waiting',
  'oriel_variants_files',
  'oriel_variants_bytes',
  'oriel_s3_open',
  'oriel_s3_streams',
  'oriel_copies_files',
  'oriel_copies_bytes',
  'oriel_copies_used',
  'oriel_sync_watching',
  'oriel_proofs_running',
  'oriel_proofs_waiting',
  'oriel_edge_events_running',
  'oriel_analytics_spool_bytes',
  'oriel_analytics_spool_segments',
  'oriel_redis_live',
  'oriel_redis_in_flight',
  'oriel_redis_notice_unsaid',
  'oriel_edges_pending',
  'oriel_uses_waiting',
  'oriel_uploads_running',
  'oriel_uploads_bytes_in_flight',
  'oriel_sessions_chunks_running',
  'oriel_sessions_bytes_in_flight',
  'oriel_sessions_completing',
  'oriel_sessions_tus_locks_held',
])

/** A backlog of jobs rises and falls, whatever the kind; what was done and what failed only grows. */
const BACKLOG = /^oriel_jobs_\w+_(pending|running|parked|oldest_seconds)$/

const registerNumber = (registry: Registry, name: string, help: string, read: () => number): void => {
  const registers = [registry]
  if (NOW.has(name) || BACKLOG.test(name)) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
    return
  }
  new Counter({
    name: `${name}_total`,
    help,
    registers,
    collect() {
      this.reset()
      this.inc(read())
    },
  })
}

/** The numbers in an area's counters, one level of objects deep: `spool.bytes` is `spool_bytes`. */
const numbersIn = (values: Readonly<Record<string, unknown>>, prefix: string): readonly (readonly [string, number])[] =>
  Object.entries(values).flatMap(([key, value]) => {
    const name = `${prefix}_${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`
    if (typeof value === 'number') return [[name, value] as const]
    return value && typeof value === 'object' ? numbersIn(value as Readonly<Record<string, unknown>>, name) : []
  })
