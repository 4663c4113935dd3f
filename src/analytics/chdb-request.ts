/** One request of ClickHouse's HTTP protocol → the statements to run for it. Pure: names are checked, values are quoted. */

/** What a request asks of the engine: `settings` are statements to run first, in the same session. */
export interface EngineRequest {
  readonly sql: string
  readonly settings: readonly string[]
  readonly format: string
  /** The body is an insert's data, to be read by the engine from a file, rather than more SQL. */
  readonly takesData: boolean
}

/** Parameters that are the protocol's own; every other one is a setting or a query parameter. */
const PROTOCOL_PARAMETERS: ReadonlySet<string> = new Set([
  'query',
  'query_id',
  'session_id',
  'session_timeout',
  'session_check',
  'user',
  'password',
  'database',
  'default_format',
  'role',
  'compress',
  'decompress',
  'enable_http_compression',
  'http_headers_progress_interval_ms',
  'send_progress_in_http_headers',
  'wait_end_of_query',
  'buffer_size',
  'cancel_http_readonly_queries_on_client_close',
])

/**
 * Applied before the request's own settings, so that no query is without a bound: 30 s, 1 GiB, 64 MiB of answer (held in
 * memory whole), two threads beside a server that has more urgent work. Unknown fields are refused as a server does.
 */
const BOUNDS = [
  'SET max_execution_time = 30',
  'SET max_memory_usage = 1073741824',
  'SET max_result_bytes = 67108864',
  "SET result_overflow_mode = 'throw'",
  'SET max_threads = 2',
  'SET input_format_skip_unknown_fields = 0',
]

const INSERT = /^(\s*INSERT\s+INTO\b.*?)\s+FORMAT\s+(\w+)\s*;?\s*$/is

export const quoteText = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** A parameter's name that is not a word: it would be SQL. */
export class BadParameter extends Error {}

/**
 * `tag` marks the query in `system.processes`, so that it can be killed. Query parameters arrive as the protocol writes
 * them (TabSeparated escapes), which is what `SET param_x` takes.
 * @throws BadParameter naming a parameter that is not `\w+`.
 */
export const readRequest = (parameters: URLSearchParams, tag: string): EngineRequest => {
  const settings = [...BOUNDS]
  for (const [name, value] of parameters) {
    if (PROTOCOL_PARAMETERS.has(name)) continue
    if (!/^\w{1,100}$/.test(name))
      throw new BadParameter(`Code: 115. DB::Exception: Unknown setting ${quoteText(name)}`)
    const isNumber = !name.startsWith('param_') && /^-?\d+(\.\d+)?$/.test(value)
    settings.push(`SET ${name} = ${isNumber ? value : quoteText(value)}`)
  }
  settings.push(`SET log_comment = ${quoteText(tag)}`)
  const sql = parameters.get('query') ?? ''
  return { sql, settings, format: parameters.get('default_format') ?? 'TabSeparated', takesData: INSERT.test(sql) }
}

/** The insert with its data in `path`: any format, any size, the bytes untouched. */
export const insertFromFile = (sql: string, path: string): string =>
  sql.replace(
    INSERT,
    (_, insert: string, format: string) =>
      `${insert} FROM INFILE ${quoteText(path)} COMPRESSION 'none' FORMAT ${format}`,
  )
