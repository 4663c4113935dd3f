/** An analyst's question as a URL's query string, judged by zod, and the one SQL statement that answers it. */
import { z } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { DIMENSION_NAMES, DIMENSIONS, type DimensionName, FILTERS, METRIC_NAMES, METRICS } from './dimensions.ts'
import { EVENTS_TABLE } from './schema.ts'

const DAY_MS = 24 * 3_600_000
const MAX_GROUPS = 3
const MAX_FILTER_CHARS = 256
export const MAX_ROWS = 10_000
const DEFAULT_ROWS = 1000

export interface Question {
  /** `from` inclusive, `to` exclusive. */
  readonly from: Date
  readonly to: Date
  readonly groupBy: readonly DimensionName[]
  readonly filters: readonly { readonly name: DimensionName; readonly value: string }[]
  readonly order: { readonly column: string; readonly descending: boolean }
  readonly limit: number
  readonly format: 'json' | 'csv' | undefined
}

// A date is its midnight in UTC; a time needs its zone, or the answer would depend on where the server stands.
const INSTANT = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/

const instant = (about: string) =>
  z
    .string()
    .transform((text, context) => {
      const time = INSTANT.test(text) ? Date.parse(text) : Number.NaN
      // Date.parse turns 2026-02-30 into March; a day that is not in the calendar is a mistake, not a wish.
      const isDay = !Number.isNaN(time) && !Number.isNaN(Date.parse(text.slice(0, 10))) && sameDay(text)
      if (isDay) return new Date(time)
      context.addIssue(`not a date or ISO 8601 instant with its zone: ${quote(text)}`)
      return z.NEVER
    })
    .optional()
    .openapi({ type: 'string', description: about, example: '2026-11-01T00:00:00Z' })

const sameDay = (text: string): boolean =>
  new Date(`${text.slice(0, 10)}T00:00:00Z`).toISOString().slice(0, 10) === text.slice(0, 10)

const isDimension = (text: string): text is DimensionName => Object.hasOwn(DIMENSIONS, text)

const groupBy = z
  .string()
  .default('')
  .transform((text, context) => {
    const names = text === '' ? [] : [...new Set(text.split(',').map((name) => name.trim()))]
    const unknown = names.find((name) => !isDimension(name))
    if (unknown !== undefined) context.addIssue(`${quote(unknown)} is none of ${DIMENSION_NAMES.join(', ')}`)
    if (names.length > MAX_GROUPS) context.addIssue(`at most ${MAX_GROUPS} names, not ${names.length}`)
    return names.filter(isDimension)
  })
  .openapi({
    type: 'string',
    description: `up to ${MAX_GROUPS} of ${DIMENSION_NAMES.join(', ')}`,
    example: 'day,format',
  })

const order = z
  .string()
  .optional()
  .openapi({ description: 'a grouped dimension or a metric; `-` before it for descending', example: '-bytes_sent' })

const limit = z
  .string()
  .default(String(DEFAULT_ROWS))
  .transform((text, context) => {
    const rows = /^\d{1,6}$/.test(text) ? Number(text) : 0
    if (rows < 1 || rows > MAX_ROWS) context.addIssue(`not a whole number from 1 to ${MAX_ROWS}: ${quote(text)}`)
    return rows
  })
  .openapi({ type: 'integer', minimum: 1, maximum: MAX_ROWS, default: DEFAULT_ROWS, description: 'most rows' })

const filter = (name: DimensionName) =>
  z
    .string()
    .max(MAX_FILTER_CHARS)
    .superRefine((text, context) => {
      if (DIMENSIONS[name].kind === 'number' && !/^\d{1,6}(\.\d{1,6})?$/.test(text))
        context.addIssue(`not a number: ${quote(text)}`)
    })
    .optional()
    .openapi({ description: `only events with this: ${DIMENSIONS[name].about}` })

/** The query string of `GET /analytics/summary`. Unknown names are refused: a misspelt filter would answer another question. */
export const questionParameters = z.strictObject({
  from: instant('start, inclusive; default 24 hours before `to`'),
  to: instant('end, exclusive; default now'),
  group_by: groupBy,
  order,
  limit,
  format: z.enum(['json', 'csv']).optional().openapi({ description: 'of the answer; else by `Accept`, else JSON' }),
  ...Object.fromEntries(FILTERS.map(({ parameter, name }) => [parameter, filter(name)])),
})

/**
 * What no single parameter can tell: the range and the order. `now` is in Unix milliseconds.
 * @throws AppError `bad-request` naming the value.
 */
export const readQuestion = (raw: z.output<typeof questionParameters>, maxRangeDays: number, now: number): Question => {
  // The end is exclusive: an event of this very millisecond is one that the asker may have seen happen.
  const to = raw.to ?? new Date(now + 1)
  const from = raw.from ?? new Date(to.getTime() - DAY_MS)
  const days = (to.getTime() - from.getTime()) / DAY_MS
  if (days <= 0) throw new AppError('bad-request', `from: ${from.toISOString()} is not before ${to.toISOString()}`)
  if (days > maxRangeDays)
    throw new AppError(
      'bad-request',
      `from: ${Math.ceil(days)} days to ${to.toISOString()} are more than ${maxRangeDays}`,
    )
  const values: Readonly<Record<string, unknown>> = raw
  const filters = FILTERS.flatMap(({ parameter, name }) => {
    const value = values[parameter]
    return typeof value === 'string' ? [{ name, value }] : []
  })
  const { group_by: groupBy, limit, format } = raw
  return { from, to, groupBy, filters, order: readOrder(raw.order, groupBy), limit, format }
}

/** Series by default in time, everything else by weight. */
const readOrder = (text: string | undefined, groups: readonly DimensionName[]): Question['order'] => {
  const time = groups.find((name) => DIMENSIONS[name].kind === 'time')
  if (text === undefined) return { column: time ?? 'requests', descending: time === undefined }
  const column = text.replace(/^-/, '')
  const known = Object.hasOwn(METRICS, column) || groups.some((name) => name === column)
  if (!known) {
    const choices = [...groups, ...METRIC_NAMES].join(', ')
    throw new AppError('bad-request', `order: ${quote(text)} is none of ${choices}, with or without - before it`)
  }
  return { column, descending: text.startsWith('-') }
}

/**
 * One row per group, and where there are groups one more with `is_total` = 1, first. Values travel as `{name:Type}` parameters
 * only; identifiers come from the tables of `dimensions.ts`. Grouping sets and not WITH TOTALS, whose JSON chDB 3.4.0 writes in
 * the wrong order when no row matches.
 */
export const questionSql = (question: Question): { sql: string; parameters: Record<string, string | number> } => {
  const groups = question.groupBy.map((name) => `${DIMENSIONS[name].sql} AS \`group_${name}\``)
  const metrics = METRIC_NAMES.map((name) => `${METRICS[name].sql} AS \`metric_${name}\``)
  const parameters: Record<string, string | number> = { from: question.from.getTime(), to: question.to.getTime() }
  const conditions = question.filters.map(({ name, value }, index) => {
    const isNumber = DIMENSIONS[name].kind === 'number'
    parameters[`filter${index}`] = isNumber ? Number(value) : value
    return `AND ${DIMENSIONS[name].sql} = {filter${index}:${isNumber ? 'Float64' : 'String'}}`
  })
  const names = question.groupBy.map((name) => `\`group_${name}\``)
  const [first] = names
  const isTotal = first === undefined ? '0' : `grouping(${first})`
  const grouping = first === undefined ? '' : `GROUP BY GROUPING SETS ((${names.join(', ')}), ())`
  const { column, descending } = question.order
  const ordered = `\`${Object.hasOwn(METRICS, column) ? 'metric' : 'group'}_${column}\` ${descending ? 'DESC' : 'ASC'}`
  const sql = `SELECT ${[...groups, ...metrics].join(', ')}, ${isTotal} AS is_total FROM ${EVENTS_TABLE}
    WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    ${conditions.join(' ')} ${grouping}
    ORDER BY ${['is_total DESC', ordered, ...names].join(', ')}
    LIMIT ${question.limit + 1} SETTINGS force_grouping_standard_compatibility = 1`
  return { sql, parameters }
}
