/**
 * The same program with short ways in front for what nearly every request is: a hit of an edge is mostly the working out of its key.
 * For dialects that are not counted in bytes. `test/edge/shortcuts.test.ts` holds that no value changes.
 */
import { evaluate, type Inputs, type Lookup, lookup, type Program, type Row, type Table } from './program.ts'

/** What browsers send for an `<img>`, most often first. */
const COMMON_ACCEPTS = [
  // Chromium, since 88.
  'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
  // Safari 17 and newer.
  'image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
  // Firefox 128 and newer; 92 to 127.
  'image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
  'image/avif,image/webp,*/*',
  // Chromium before 88.
  'image/webp,image/apng,image/*,*/*;q=0.8',
] as const

/** A URL that leaves nothing to negotiation: a size, a named format, neither option nor preset. */
const EXPLICIT = /^\/i\/[0-9a-f]{64}\/(?!autox)[0-9x]+\.(?:avif|webp|jpe?g|png|gif)$/
/** Rows that look for an option or a preset find neither in it. */
const WITHOUT_OPTIONS = /^[^?@]*$/

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

const named = ({ tables }: Program, name: string): Lookup => {
  const table = tables.find((each) => each.name === name)
  if (table?.kind !== 'lookup') throw new Error(`the program has no lookup ${name}`)
  return table
}

/** @throws Error for an Accept that leaves the format to another header, or to the URL. */
const acceptRow = (program: Program, accept: string): Row => {
  const value = (target: string, agent: string): string =>
    evaluate({ ...program, result: 'format' }, (input) => ({ accept, target, user_agent: agent })[input] ?? '')
  const [first, ...others] = ['', '?q=lossless', '?q=80'].flatMap((query) =>
    ['', 'Mozilla/5.0 Gecko/ Firefox/128.0'].map((agent) => value(`/i/${'0'.repeat(64)}/8x.auto${query}`, agent)),
  )
  if (first === undefined || others.some((other) => other !== first))
    throw new Error(`what "${accept}" proves does not follow from it alone`)
  return [new RegExp(`^${literal(accept)}$`), first]
}

/** Behind the texts, which nginx looks for first. */
const withRows = (table: Lookup, rows: readonly Row[]): Lookup => {
  const texts = table.rows.filter(([test]) => typeof test === 'string')
  const patterns = table.rows.filter(([test]) => typeof test !== 'string')
  return lookup(table.name, table.source, [...texts, ...rows, ...patterns], table.otherwise)
}

export const withShortcuts = (program: Program): Program => {
  const { name, source, rows, otherwise } = named(program, program.result)
  const key: Table = lookup(name, `$${inputOf(program.inputs, ':target')}`, [[EXPLICIT, '']], '$negotiated_key')
  const shortened = new Map<string, readonly Table[]>([
    [name, [lookup('negotiated_key', source, rows, otherwise), key]],
    ...['quality', 'ratio_asked'].map((option) => {
      const table = named(program, option)
      return [option, [withRows(table, [[WITHOUT_OPTIONS, table.otherwise]])]] as const
    }),
    [
      'format',
      [
        withRows(
          named(program, 'format'),
          COMMON_ACCEPTS.map((accept) => acceptRow(program, accept)),
        ),
      ],
    ],
  ])
  return { ...program, tables: program.tables.flatMap((table) => shortened.get(table.name) ?? [table]) }
}

const inputOf = (inputs: Inputs, source: string): string =>
  Object.keys(inputs).find((input) => inputs[input] === source) ?? ''
