/** A program as nginx `map`s: looked at only when something asks for the variable, each at most once a request. */

import { upTo } from './numbers.ts'
import { namesIn, ODD, type Program, type Row, type Table } from './program.ts'

const PREFIX = 'oriel_'

/** nginx's own name of an input. */
const inputVariable = (source: string): string =>
  source === ':target' ? 'request_uri' : `http_${source.replaceAll('-', '_')}`

/** In nginx's quotes only the quote itself and a backslash before another one are special. */
const quoted = (text: string): string => `"${text.replaceAll('\\\\', '\\\\\\\\').replaceAll('"', '\\"')}"`

const pattern = (regex: RegExp): string => quoted(`~${regex.flags.includes('i') ? '*' : ''}${regex.source}`)

const escapeRegex = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

export const printNginxKey = ({ inputs, tables, result }: Program): string => {
  const fill = (text: string): string =>
    text.replace(/\$([a-z0-9_]+)/g, (_, name: string) => {
      const input = inputs[name]
      return `\${${input === undefined ? PREFIX + name : inputVariable(input)}}`
    })
  // nginx compares plain texts without regard to case: fine for our own words, not for what a client sends.
  const test = (of: Table, [is]: Row): string => {
    if (typeof is !== 'string') return pattern(is)
    const fromClient = namesIn(of.source).some((name) => name in inputs)
    return fromClient && /[a-z]/i.test(is) ? quoted(`~^${escapeRegex(is)}$`) : quoted(is)
  }
  const rowsOf = (table: Table): readonly string[] =>
    table.kind === 'lookup'
      ? [
          ...table.rows.map((row) => `${test(table, row)} ${quoted(fill(row[1]))};`),
          `default ${quoted(fill(table.otherwise))};`,
        ]
      : [
          ...table.limits
            .slice(0, -1)
            .map(([limit, gives]) => `${quoted(`~^(?=[1-9])${upTo(limit)}$`)} ${quoted(gives)};`),
          `${quoted('~^[1-9]\\d{0,3}$')} ${quoted(table.limits.at(-1)?.[1] ?? ODD)};`,
          `default ${quoted(ODD)};`,
        ]
  const maps = tables.map(
    (table) =>
      `map ${quoted(fill(table.source))} $${PREFIX}${table.name} {\n${rowsOf(table)
        .map((row) => `    ${row}\n`)
        .join('')}}\n`,
  )
  const odd = `# 1: what the edge cannot tell for sure is passed on.\nmap $${PREFIX}${result} $${PREFIX}pass {\n    "~[${ODD}]" 1;\n    default 0;\n}\n`
  return [...maps, odd].join('\n')
}

/** The headers that the key was read from are passed on as they were read: of a header sent twice, nginx sees the first. */
export const printPinnedHeaders = ({ inputs }: Program): string =>
  Object.values(inputs)
    .filter((source) => source !== ':target')
    .map((source) => `proxy_set_header ${source} $${inputVariable(source)};\n`)
    .join('')
