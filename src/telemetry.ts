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

/** A group of numbers of one area, read at every scrape. Names become `oriel_<area>_<name in snake case>`. */
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
 * @param sources the areas' counters. Numbers become gauges: a scrape sees the value as it is, and `rate()` works on them
 * as long as they only grow. Values that are not numbers are passed over; an object of numbers becomes labels.
 */
export const createMetrics = (sources: readonly StatsSource[]): Metrics => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { area, read } of sources)
    for (const name of Object.keys(read())) registerNumber(registry, area, name, read)
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

const registerNumber = (registry: Registry, area: string, name: string, read: StatsSource['read']): void => {
  const metric = `oriel_${area}_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`
  const labelled = typeof read()[name] === 'object'
  new Gauge({
    name: metric,
    help: `${area}: ${name}`,
    registers: [registry],
    labelNames: labelled ? ['kind'] : [],
    collect() {
      const value = read()[name]
      if (typeof value === 'number') this.set(value)
      else if (value && typeof value === 'object')
        for (const [kind, count] of Object.entries(value)) if (typeof count === 'number') this.set({ kind }, count)
    },
  })
}
