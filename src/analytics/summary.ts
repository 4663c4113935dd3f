/** A question asked of the engine, and its answer as rows of groups and metrics. */
import { type ClickHouseClient, ClickHouseError } from '@clickhouse/client'
import { AppError } from '../core/errors.ts'
import { type Cell, toCsv } from './csv.ts'
import { METRIC_NAMES } from './dimensions.ts'
import { type Question, questionSql } from './question.ts'

export type SummaryRow = Readonly<Record<string, Cell>>

export interface Summary {
  readonly from: string
  readonly to: string
  readonly group_by: readonly string[]
  readonly rows: readonly SummaryRow[]
  /** The metrics over everything asked for, groups beyond the limit included; present when grouped. */
  readonly total?: SummaryRow
  /** False when events recorded before the question were still on their way into the engine. */
  readonly complete: boolean
}

/** ClickHouse's codes for a question that costs too much: time, memory, size of the answer. */
const TOO_EXPENSIVE: ReadonlySet<string> = new Set(['159', '160', '241', '307', '396'])

/** Bounds of one question on a shared machine. */
const QUERY_SETTINGS = {
  max_execution_time: 20,
  max_memory_usage: '1073741824',
  max_bytes_before_external_group_by: '268435456',
  output_format_json_quote_64bit_integers: 0,
  output_format_json_quote_denormals: 0,
} as const

/** @throws AppError `unprocessable` when the question costs more than its bounds; other faults of the engine as they are. */
export const askSummary = async (
  client: ClickHouseClient,
  question: Question,
  signal: AbortSignal,
): Promise<Omit<Summary, 'complete'>> => {
  const { sql, parameters } = questionSql(question)
  try {
    const result = await client.query({
      query: sql,
      query_params: parameters,
      format: 'JSONEachRow',
      clickhouse_settings: QUERY_SETTINGS,
      abort_signal: signal,
    })
    const answer = await result.json<Record<string, unknown>>()
    const total = answer.find((row) => Number(row.is_total) === 1)
    return {
      from: question.from.toISOString(),
      to: question.to.toISOString(),
      group_by: question.groupBy,
      rows: answer.filter((row) => row !== total).map((row) => pick(row, question.groupBy)),
      ...(total !== undefined && { total: pick(total, []) }),
    }
  } catch (error) {
    if (error instanceof ClickHouseError && TOO_EXPENSIVE.has(error.code))
      throw new AppError('unprocessable', 'the question costs too much: ask for a shorter time or fewer groups', {
        cause: error,
      })
    throw error
  }
}

const pick = (row: Readonly<Record<string, unknown>>, groups: readonly string[]): SummaryRow =>
  Object.fromEntries([
    ...groups.map((name) => [name, cell(row[`group_${name}`])]),
    ...METRIC_NAMES.map((name) => [name, cell(row[`metric_${name}`])]),
  ])

const cell = (value: unknown): Cell =>
  typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value)) ? value : null

/** Grouped dimensions and metrics by name, then one line a group; totals are left to the spreadsheet. */
export const summaryCsv = (summary: Summary): string => {
  const header = [...summary.group_by, ...METRIC_NAMES]
  return toCsv(
    header,
    summary.rows.map((row) => header.map((name) => row[name] ?? null)),
  )
}
