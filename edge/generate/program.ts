/**
 * What an edge works out of a request, as ordered tables: the one form that nginx's `map`, VCL's `if` and a few lines of JavaScript
 * can all carry out. No arithmetic, no loops; whoever prints a program prints what `evaluate` does.
 */

/** A part of a result that no table could tell for sure: such a request is passed on and not cached. */
export const ODD = '?'

/** The whole text, or a pattern that finds something in it. */
export type Row = readonly [test: string | RegExp, gives: string]

/** The first row that fits gives the value. Texts come before patterns, as nginx looks for them first. */
export interface Lookup {
  readonly kind: 'lookup'
  readonly name: string
  /** Text with `$names` of other tables and of inputs in it, as every `gives` is. */
  readonly source: string
  readonly rows: readonly Row[]
  readonly otherwise: string
}

/**
 * A whole number from 1 to 9999, times the factor, goes up to the next step, or down to the last. The same in limits, for dialects
 * without arithmetic: the first that the number does not exceed gives the value; past them all, the last does. Else `ODD`.
 */
export interface Steps {
  readonly kind: 'steps'
  readonly name: string
  readonly source: string
  readonly factor: number
  readonly steps: readonly number[]
  /** Ascending. */
  readonly limits: readonly (readonly [limit: number, gives: string])[]
}

export type Table = Lookup | Steps

/** Names an input, and what the edge takes it from: a request header in lower case, or `:target`, path and query as sent. */
export type Inputs = Readonly<Record<string, string>>

export interface Program {
  readonly inputs: Inputs
  readonly tables: readonly Table[]
  /** The table whose value is the program's. */
  readonly result: string
}

/** Names that a text refers to, in order. */
export const namesIn = (text: string): readonly string[] =>
  [...text.matchAll(/\$([a-z0-9_]+)/g)].map(([, name]) => name ?? '')

/** Whole numbers that steps judge; 9999 pixels are more than any screen has, and no side of ours is longer than 8192. */
export const STEPPED = /^[1-9]\d{0,3}$/

/**
 * Carries a program out. Pure.
 * @param read gives the input of that name, '' where the request has none.
 * @throws Error when the program names what it does not have: a fault of whoever wrote it.
 */
export const evaluate = (program: Program, read: (input: string) => string): string => {
  const tables = new Map(program.tables.map((table) => [table.name, table]))
  const fill = (text: string): string => text.replace(/\$([a-z0-9_]+)/g, (_, name: string) => lookUp(name))
  const lookUp = (name: string): string => {
    if (name in program.inputs) return read(name)
    const table = tables.get(name)
    if (!table) throw new Error(`the program has no table ${name}`)
    const source = fill(table.source)
    if (table.kind === 'steps') {
      if (!STEPPED.test(source)) return ODD
      return fill((table.limits.find(([limit]) => Number(source) <= limit) ?? table.limits.at(-1))?.[1] ?? ODD)
    }
    const row = table.rows.find(([test]) => (typeof test === 'string' ? test === source : test.test(source)))
    return fill(row ? row[1] : table.otherwise)
  }
  return lookUp(program.result)
}

/** @throws Error for what `evaluate` would carry out and another dialect would not. */
export const lookup = (name: string, source: string, rows: readonly Row[], otherwise: string): Lookup => {
  const firstPattern = rows.findIndex(([test]) => typeof test !== 'string')
  if (firstPattern >= 0 && rows.slice(firstPattern).some(([test]) => typeof test === 'string'))
    throw new Error(`table ${name}: a text behind a pattern, which nginx would take first`)
  return { kind: 'lookup', name, source, rows, otherwise }
}
