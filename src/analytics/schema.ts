/** The table of delivery events, as numbered statements that may all be run again at every start. */

export interface SchemaOptions {
  /** Events older than this are dropped by the engine. Default 400 days: a year and the month it is compared with. */
  readonly retentionDays?: number
  /**
   * `ReplicatedMergeTree` instead of `MergeTree`, for a server that is a cluster. Untried: no such cluster runs where this
   * was built. The macros `{shard}` and `{replica}` must be set there.
   */
  readonly replicated?: boolean
}

export const EVENTS_TABLE = 'delivery_events'

/** Inserts remembered by their token. A crash leaves at most one segment in doubt, a queue of 1 GiB has 128. */
const DEDUPLICATION_WINDOW = 1000

/**
 * One table, no rollup: over a million events the heaviest of our questions takes 0.1 s (engines.md §1), and an aggregate
 * with as many dimensions as these was no faster there. Sorted by hour first, because every question has a time range, then
 * by picture. The syncs on insert are what lets the spool delete its copy.
 */
export const schema = (options: SchemaOptions = {}): readonly string[] => {
  const { retentionDays = 400, replicated = false } = options
  const engine = replicated
    ? `ReplicatedMergeTree('/clickhouse/tables/{shard}/${EVENTS_TABLE}', '{replica}')`
    : 'MergeTree'
  const window = replicated ? 'replicated_deduplication_window' : 'non_replicated_deduplication_window'
  return [
    // 1
    `CREATE TABLE IF NOT EXISTS ${EVENTS_TABLE} (
      time DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
      hash String CODEC(ZSTD),
      owner LowCardinality(String),
      asked_width UInt16 CODEC(ZSTD),
      asked_height UInt16 CODEC(ZSTD),
      served_width UInt16 CODEC(ZSTD),
      served_height UInt16 CODEC(ZSTD),
      format_asked LowCardinality(String),
      format_served LowCardinality(String),
      class LowCardinality(String),
      tier LowCardinality(String),
      status UInt16 CODEC(ZSTD),
      bytes_sent UInt64 CODEC(T64, ZSTD),
      bytes_original UInt64 CODEC(T64, ZSTD),
      queue_ms Float32 CODEC(ZSTD),
      render_ms Float32 CODEC(ZSTD),
      total_ms Float32 CODEC(ZSTD),
      device LowCardinality(String),
      browser LowCardinality(String),
      os LowCardinality(String),
      dpr Float32 CODEC(ZSTD),
      slow_network Bool CODEC(ZSTD),
      referrer_host LowCardinality(String),
      country LowCardinality(String),
      client_prefix String CODEC(ZSTD)
    ) ENGINE = ${engine}
    PARTITION BY toYYYYMM(time)
    ORDER BY (toStartOfHour(time), hash, time)
    TTL toDateTime(time) + INTERVAL ${Math.floor(retentionDays)} DAY DELETE
    SETTINGS ${window} = ${DEDUPLICATION_WINDOW}, fsync_after_insert = 1, fsync_part_directory = 1`,
    // 2: follows a changed retention; old parts are judged anew by the next merge, not all at once
    `ALTER TABLE ${EVENTS_TABLE} MODIFY TTL toDateTime(time) + INTERVAL ${Math.floor(retentionDays)} DAY DELETE
    SETTINGS materialize_ttl_after_modify = 0`,
  ]
}
