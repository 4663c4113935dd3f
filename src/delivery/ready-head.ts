/**
 * The head of an answer, written once and sent many times. `writeHead` judges and joins each header anew for every answer: with
 * the contract's sixteen that is 8–14 % of what a hot hit costs in all (measured against bare node:http, in turns).
 */
import { type ServerResponse, STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http'
import type { FlatHeaders } from './headers.ts'

export interface ReadyHead {
  readonly status: 200 | 304
  /** The status line as node writes it, and the header lines, each ended by CRLF. */
  readonly text: string
  readonly statusLineChars: number
  /** Headers that node has to see, because it frames the message and keeps the connection by them. */
  readonly framing: FlatHeaders
}

/**
 * @param headers names and values; none of those that node writes itself (`Date`, `Connection`, `Keep-Alive`).
 * @throws TypeError of node:http for what is no header name or value (RFC 9110 §5.5).
 */
export const readyHead = (status: ReadyHead['status'], headers: FlatHeaders): ReadyHead => {
  const statusLine = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`
  const framing: string[] = []
  let lines = ''
  for (let at = 0; at < headers.length; at += 2) {
    const [name = '', value = ''] = headers.slice(at, at + 2)
    validateHeaderName(name)
    validateHeaderValue(name, value)
    if (name === 'Content-Length') framing.push(name, value)
    else lines += `${name}: ${value}\r\n`
  }
  // By way of bytes: V8 keeps a joined string as a tree, and would flatten it for every answer.
  const text = Buffer.from(statusLine + lines, 'latin1').toString('latin1')
  return { status, text, statusLineChars: statusLine.length, framing }
}

/**
 * Sends a whole answer. Node writes its own head first, and so decides of framing, date and connection as it always does; ours is
 * put in before the first byte leaves. `_header` is where node keeps the head from `writeHead` to the first write, since 2010.
 * @param varying headers that differ from one answer to the next.
 */
export const sendReady = (
  response: ServerResponse,
  { status, text, statusLineChars, framing }: ReadyHead,
  varying: FlatHeaders,
  body: Uint8Array | undefined,
): void => {
  response.writeHead(status, (varying.length === 0 ? framing : [...framing, ...varying]) as string[])
  const written = response as unknown as { _header: string }
  written._header = text + written._header.slice(statusLineChars)
  response.end(body)
}
