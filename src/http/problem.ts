/** AppError → `application/problem+json` (RFC 9457). The only place where kinds meet status codes. */
import { STATUS_CODES } from 'node:http'
import { HTTPException } from 'hono/http-exception'
import { AppError, type ErrorKind } from '../core/errors.ts'

const STATUS = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  timeout: 408,
  conflict: 409,
  gone: 410,
  'precondition-failed': 412,
  'too-large': 413,
  'unsupported-type': 415,
  range: 416,
  undecodable: 422,
  unprocessable: 422,
  'rate-limited': 429,
  'headers-too-large': 431,
  internal: 500,
  busy: 503,
} as const satisfies Record<ErrorKind, number>

/** The first kind of each status, for what has a status only: refusals of libraries, and the OpenAPI document. */
export const KINDS: ReadonlyMap<number, ErrorKind> = new Map(
  Object.entries(STATUS)
    .reverse()
    .map(([kind, status]) => [status as number, kind as ErrorKind]),
)

/** Anything thrown as an AppError: Hono's own refusals keep their status, what nobody foresaw is `internal`, told without its inside. */
export const asAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error
  if (error instanceof HTTPException && error.status < 500)
    return new AppError(KINDS.get(error.status) ?? 'bad-request', error.message || 'the request is malformed', {
      cause: error.cause,
    })
  return new AppError('internal', 'something went wrong on our side', { cause: error })
}

export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON text of the RFC 9457 members; `instance` is the request id, to find the log line by. */
  readonly body: string
}

/** @param error anything thrown. */
export const toProblem = (error: unknown, requestId: string): Problem => {
  const known = asAppError(error)
  const status = STATUS[known.kind]
  const retryAfter = known.retryAfterSeconds ?? (status === 503 || status === 429 ? 1 : undefined)
  return {
    status,
    headers: {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'X-Request-Id': requestId,
      ...(status === 401 && { 'WWW-Authenticate': 'Bearer realm="oriel"' }),
      ...(retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
      ...known.headers,
    },
    body: documentOf(known.kind, status, known.message, requestId),
  }
}

/** @param kind undefined for a status that none of ours has: RFC 9457 §4.2.1 has `about:blank` for what the status says alone. */
const documentOf = (kind: ErrorKind | undefined, status: number, detail: string, requestId: string): string =>
  JSON.stringify({
    type: kind ? `urn:oriel:problem:${kind}` : 'about:blank',
    title: STATUS_CODES[status] ?? detail,
    status,
    detail,
    instance: requestId,
  })

/** The same as a fetch Response, for Hono's handlers. */
export const problemResponse = (error: unknown, requestId: string): Response => {
  const { status, headers, body } = toProblem(error, requestId)
  return new Response(body, { status, headers })
}

/** A protocol's own refusal, a status and a line of text: the same document, under the same status and headers. */
export const refusalResponse = async (refusal: Response, requestId: string): Promise<Response> => {
  const { status } = refusal
  const headers = new Headers(refusal.headers)
  headers.delete('Content-Length')
  headers.set('Content-Type', 'application/problem+json')
  headers.set('Cache-Control', 'no-store')
  const detail = (await refusal.text()).trim()
  return new Response(documentOf(KINDS.get(status), status, detail, requestId), { status, headers })
}
