/** What a command sees of the process that it runs in: given by `main.ts`, so that a test can give another. */

export interface World {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Answers, for programs to read. */
  out(text: string): void
  /** Progress, warnings and faults, for people. */
  err(text: string): void
  /** Standard error is a terminal that understands a carriage return. */
  readonly interactive: boolean
  /** Its width in characters, now. */
  columns(): number
  /** Aborted by Ctrl-C and SIGTERM; the reason is a `Stop`. */
  readonly signal: AbortSignal
}

/** C0, DEL and C1 controls, line separators, and what turns the direction of text (Unicode TR 36 §3.1). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to go
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/** Text from file names and servers, made harmless for a terminal: what would act on it is shown, not done. */
export const printable = (text: string): string =>
  text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
