/** Spool → engine: segments oldest first, each inserted under its own token and removed only when the engine has it. */
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { type ClickHouseClient, ClickHouseError } from '@clickhouse/client'
import type { Engine } from './engine.ts'
import type { AnalyticsLog } from './log.ts'
import { EVENTS_TABLE } from './schema.ts'
import { segmentLines } from './segment-lines.ts'
import type { Spool } from './spool.ts'
import { type Segment, soundPart } from './spool-recovery.ts'

export interface LoaderStats {
  readonly insertedRows: number
  readonly insertedSegments: number
  readonly insertFailures: number
}

export interface Loader {
  /**
   * Inserts every segment that was ready at the call or earlier calls; one drain runs at a time, later callers join the next.
   * @throws what kept the engine from taking the oldest segment; everything not inserted stays in the spool.
   */
  drain(signal: AbortSignal): Promise<void>
  readonly stats: LoaderStats
}

/** ClickHouse's codes for "these bytes are not what the table takes": trying again cannot help. */
const CONTENT_FAULTS: ReadonlySet<string> = new Set([
  '6', // CANNOT_PARSE_TEXT
  '7', // INCORRECT_NUMBER_OF_COLUMNS
  '25', // CANNOT_PARSE_ESCAPE_SEQUENCE
  '26', // CANNOT_PARSE_QUOTED_STRING
  '27', // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  '33', // CANNOT_READ_ALL_DATA
  '38', // CANNOT_PARSE_DATE
  '41', // CANNOT_PARSE_DATETIME
  '69', // ARGUMENT_OUT_OF_BOUND
  '70', // CANNOT_CONVERT_TYPE
  '72', // CANNOT_PARSE_NUMBER
  '117', // INCORRECT_DATA
  '131', // TOO_LARGE_STRING_SIZE
  '467', // CANNOT_PARSE_BOOL
])

/** Segments of our own making do not crash the engine; one that was in hand at so many crashes in a row is taken for the cause. */
const MAX_CRASHES = 10

export const createLoader = (spool: Spool, engine: Engine, log: AnalyticsLog): Loader => {
  const count = { insertedRows: 0, insertedSegments: 0, insertFailures: 0 }
  let suspect = { token: '', crashes: 0 }
  let running: Promise<void> = Promise.resolve()

  const putAside = async (segment: Segment, error: unknown): Promise<void> => {
    log.error(
      { err: error, segment: segment.path, rows: segment.rows },
      'analytics: segment refused by the engine, put aside',
    )
    await spool.reject(segment)
  }
  const load = async (client: ClickHouseClient, segment: Segment, signal: AbortSignal): Promise<void> => {
    const again = suspect.token === segment.token
    // Only an engine that was seen alive just before can have been brought down by the segment; an outage proves nothing.
    const wasAlive = !again || (await client.ping()).success
    try {
      await insertSegment(client, segment, signal)
    } catch (error) {
      if (signal.aborted) throw error
      count.insertFailures++
      const crashes = (again ? suspect.crashes : 0) + (wasAlive && isHangUp(error) ? 1 : 0)
      suspect = { token: segment.token, crashes }
      if (isContentFault(error) || crashes >= MAX_CRASHES) return putAside(segment, error)
      throw error
    }
    count.insertedRows += segment.rows
    count.insertedSegments++
    await spool.remove(segment)
  }
  const drainNow = async (signal: AbortSignal): Promise<void> => {
    const waiting = spool.ready()
    if (waiting.length === 0) return
    await engine.use(async (client) => {
      for (const segment of waiting) await load(client, segment, signal)
    }, signal)
  }
  return {
    stats: count,
    drain: (signal) => {
      const mine = running.then(() => drainNow(signal))
      running = mine.catch(() => undefined)
      return mine
    },
  }
}

/** A segment on the disk that is not what was written to it. */
class RottenSegment extends Error {}

const isContentFault = (error: unknown): boolean =>
  error instanceof RottenSegment || (error instanceof ClickHouseError && CONTENT_FAULTS.has(error.code))

/** The connection broke while the answer was awaited: the other end died. A refused connection or a time-out is not that. */
const isHangUp = (error: unknown): boolean =>
  error instanceof Error &&
  (('code' in error && error.code === 'ECONNRESET') || error.message.includes('socket hang up'))

/**
 * The insert is one block (60,000 rows are far below the block limits, and one thread parses), so the token covers all of it;
 * a segment over a month's end makes one part per month, each remembered under the token.
 * @throws RottenSegment when its sound frames are not all of its events.
 */
const insertSegment = async (client: ClickHouseClient, segment: Segment, signal: AbortSignal): Promise<void> => {
  const bytes = await readFile(segment.path)
  const { rows } = soundPart(bytes)
  if (rows !== segment.rows) throw new RottenSegment(`${rows} of ${segment.rows} events are sound`)
  const lines = Readable.from(segmentLines(bytes), { objectMode: false })
  try {
    await client.insert({
      table: EVENTS_TABLE,
      values: lines,
      format: 'TabSeparatedWithNames',
      abort_signal: signal,
      clickhouse_settings: {
        insert_deduplicate: 1,
        insert_deduplication_token: segment.token,
        // For materialised views that an operator may hang on the table of a real server.
        deduplicate_blocks_in_dependent_materialized_views: 1,
        // A server set to gather small inserts would answer before it has ours.
        async_insert: 0,
        input_format_parallel_parsing: 0,
        input_format_skip_unknown_fields: 0,
        max_insert_threads: '1',
        max_insert_block_size: '1048576',
        min_insert_block_size_rows: '1048576',
        min_insert_block_size_bytes: '268435456',
      },
    })
  } finally {
    lines.destroy()
  }
}
