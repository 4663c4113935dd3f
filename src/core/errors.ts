/**
 * One error shape for the whole of Oriel. Kinds are words of the domain; HTTP meets them only in `http/problem.ts`.
 * What is normal (a miss, a duplicate, not modified) is returned, never thrown.
 */
export type ErrorKind =
  | 'bad-request'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'gone'
  | 'precondition-failed'
  | 'method-not-allowed'
  | 'timeout'
  | 'conflict'
  | 'too-large'
  | 'unsupported-type'
  | 'range'
  | 'undecodable'
  | 'unprocessable'
  | 'rate-limited'
  | 'headers-too-large'
  | 'busy'
  | 'internal'

export interface ErrorContext extends ErrorOptions {
  /** When to come back, in whole seconds; sent as `Retry-After`. */
  readonly retryAfterSeconds?: number
  /** Headers the answer must carry, such as `Content-Range` on 416. */
  readonly headers?: Readonly<Record<string, string>>
}

/** `message` is shown to the client and names the value that was wrong; `cause` goes to the log only. */
export class AppError extends Error {
  readonly kind: ErrorKind
  readonly retryAfterSeconds: number | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor(kind: ErrorKind, message: string, context: ErrorContext = {}) {
    super(message, context)
    this.name = 'AppError'
    this.kind = kind
    this.retryAfterSeconds = context.retryAfterSeconds
    this.headers = context.headers ?? {}
  }
}
