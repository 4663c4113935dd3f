/** A command's arguments: declared once, from which come the parser, the faults that name what is wrong, and the help. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { EXIT, usageFault } from './exit.ts'
import type { World } from './world.ts'

export interface Option {
  readonly type: 'string' | 'boolean'
  /** May be given several times. */
  readonly multiple?: true
  readonly short?: string
  /** What stands for the value in the help, such as `<n>`. */
  readonly value?: string
  readonly note: string
}
export type Options = Readonly<Record<string, Option>>

type Given<O extends Option> = O['type'] extends 'boolean'
  ? boolean
  : O extends { readonly multiple: true }
    ? readonly string[]
    : string | undefined

export interface Arguments<T extends Options> {
  readonly values: { readonly [Name in keyof T]: Given<T[Name]> }
  readonly operands: readonly string[]
}

export interface CommandSpec<T extends Options> {
  readonly name: string
  readonly summary: string
  /** What follows the options, such as `<path…>`; '' for none. */
  readonly operands: string
  /** Least and most operands. */
  readonly count: readonly [number, number]
  readonly options: T
  /** Paragraphs below the options. */
  readonly notes?: readonly string[]
  /** @returns the exit code. @throws Stop. */
  run(given: Arguments<T>, world: World): Promise<number>
}

export interface Command {
  readonly name: string
  readonly summary: string
  run(argv: readonly string[], world: World): Promise<number>
}

const HELP = { help: { type: 'boolean', short: 'h', note: 'this text' } } as const satisfies Options

/** Names under which a key is likely to be tried: worth more than "unknown option". */
const KEY_NAMES = /^Unknown option '--?(?:key|api-?key|token|auth|secret|password)\b/i

/** @throws (from `run`) Stop `usage`, naming the option or operand that is wrong. */
export const defineCommand = <T extends Options>(spec: CommandSpec<T>): Command => ({
  name: spec.name,
  summary: spec.summary,
  run: async (argv, world) => {
    const options = { ...spec.options, ...HELP }
    const { values, operands } = parse(spec, options, argv)
    if (values.help) {
      world.out(helpOf(spec))
      return EXIT.done
    }
    const [least, most] = spec.count
    if (operands.length < least) throw usageFault(`${spec.name} needs ${spec.operands}; see oriel ${spec.name} --help`)
    if (operands.length > most) throw usageFault(`${spec.name}: too many arguments: ${operands.slice(most).join(' ')}`)
    return spec.run({ values: values as Arguments<T>['values'], operands }, world)
  },
})

/** Strict: an unknown option is somebody's intention that would not be met. */
const parse = <T extends Options>(
  { name, operands }: { readonly name: string; readonly operands: string },
  options: T,
  argv: readonly string[],
): Arguments<T> => {
  const config: ParseArgsOptionsConfig = Object.fromEntries(
    Object.entries(options).map(([option, { type, multiple, short }]) => [
      option,
      { type, ...(multiple && { multiple }), ...(short !== undefined && { short }) },
    ]),
  )
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: config,
      allowPositionals: true,
      strict: true,
    })
    const filled = Object.entries(options).map(([option, { type, multiple }]) => [
      option,
      values[option] ?? (type === 'boolean' ? false : multiple ? [] : undefined),
    ])
    return { values: Object.fromEntries(filled) as Arguments<T>['values'], operands: positionals }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const first = message.split(/\. |\n/)[0] ?? message
    const dash = first.startsWith('Unknown option') && operands.startsWith('<path')
    const advice = KEY_NAMES.test(message)
      ? ': a key is never an argument, since every user of the machine can read those; set ORIEL_KEY or --key-file'
      : `${dash ? '; a path that begins with a dash goes behind --' : ''}; see oriel ${name} --help`
    throw usageFault(`${name}: ${first}${advice}`)
  }
}

const helpOf = <T extends Options>({ name, summary, operands, options, notes = [] }: CommandSpec<T>): string => {
  const rows = Object.entries<Option>({ ...options, ...HELP }).map(([option, { short, value, note, multiple }]) => ({
    left: `${short === undefined ? '    ' : `-${short}, `}--${option}${value === undefined ? '' : ` ${value}`}`,
    note: multiple ? `${note} (may be repeated)` : note,
  }))
  const width = Math.max(...rows.map(({ left }) => left.length))
  const lines = rows.map(({ left, note }) => `  ${left.padEnd(width)}  ${note}`)
  const usage = ['oriel', name, '[options]', operands].filter((word) => word !== '').join(' ')
  return `${[`Usage: ${usage}`, '', summary, '', 'Options:', ...lines, ...notes.flatMap((note) => ['', note])].join('\n')}\n`
}

/** @throws Stop `usage` unless `text` is a whole number from `least` to `most`. */
export const wholeNumber = (option: string, text: string, least: number, most: number): number => {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= least && value <= most) return value
  throw usageFault(`--${option} takes a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`)
}

/** @throws Stop `usage` unless `text` is one of `choices`. */
export const oneOf = <const T extends string>(option: string, text: string, choices: readonly T[]): T => {
  const found = choices.find((choice) => choice === text)
  if (found !== undefined) return found
  throw usageFault(`--${option} takes ${choices.join(' or ')}, not ${JSON.stringify(text)}`)
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const

/** A century: later times are mistakes, and at some point no dates. */
const MAX_SECONDS = 36_500 * SECONDS.d

/** `90s`, `15m`, `1h` or `7d`, in seconds. @throws Stop `usage` otherwise. */
export const duration = (option: string, text: string): number => {
  const [, count, unit] = /^([1-9]\d{0,7})([smhd])$/.exec(text) ?? []
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS]
  if (seconds <= MAX_SECONDS) return seconds
  throw usageFault(`--${option} takes a time such as 90s, 15m, 1h or 7d, 36500d at most, not ${JSON.stringify(text)}`)
}
