/** What no parser could read as a request: answered on the bare socket, in the same shape as every other fault. */
import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { AppError } from '../core/errors.ts'
import { toProblem } from './problem.ts'

/** By the codes of Node's parser; everything else is malformed (nodejs.org/api/http.html, `clientError`). */
const FAULTS: Readonly<Record<string, () => AppError>> = {
  HPE_HEADER_OVERFLOW: () => new AppError('headers-too-large', 'the request line and headers are over 16 KiB'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: () => new AppError('too-large', 'the chunk extensions are over 16 KiB'),
  ERR_HTTP_REQUEST_TIMEOUT: () => new AppError('timeout', 'the request did not come in time'),
}

/** Answers, and closes the connection: where the next request would begin, nobody knows. For a server's `clientError`. */
export const answerClientError = (error: NodeJS.ErrnoException, socket: Duplex): void => {
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering(socket)) {
    socket.destroy(error)
    return
  }
  const fault = FAULTS[error.code ?? '']?.() ?? new AppError('bad-request', 'this is not an HTTP/1.1 request')
  const { status, headers, body } = toProblem(fault, randomUUID())
  const lines = Object.entries({ ...headers, 'Content-Length': Buffer.byteLength(body), Connection: 'close' })
  const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines.map(([name, value]) => `${name}: ${value}`)]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Bytes put into an answer under way would be read as part of it. Node keeps that answer here, and its own default asks the same. */
const isAnswering = (socket: Duplex): boolean => {
  const answer: unknown = Reflect.get(socket, '_httpMessage')
  return typeof answer === 'object' && answer !== null && 'headersSent' in answer && answer.headersSent === true
}
