/** How a command ends: the exit codes that scripts rely on, and the error that carries one of them. */

/** `interrupted` is 128 + SIGINT, as shells say it (POSIX 2.8.2); another signal's is `128 + its number`. */
export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const

/** Ends the whole run; its message is for the terminal. What concerns one file only is an outcome, never this. */
export class Stop extends Error {
  readonly code: number

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Stop'
    this.code = code
  }
}

export const usageFault = (message: string): Stop => new Stop(EXIT.usage, message)
