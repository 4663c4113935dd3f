/**
 * The head of an answer, written once and sent many times. `writeHead` judges and joins each header anew for every answer: with
 * the contract's sixteen, and what node adds, that is 14–19 % of what a hot hit costs in all (measured against bare node:http, in turns).
 */
import { type ServerResponse, STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http'
import type { FlatHeaders } from './headers.ts'

export interface ReadyHead {
  readonly status: 200 | 304
  /** The status line as node writes it, and the header lines, each ended by CRLF. */
  readonly text: string
  /** Those that node has to see where it writes the head, because it frames the message by them; they are in `text` too. */
  readonly framing: FlatHeaders
}

const linesOf = (headers: FlatHeaders): string => {
  let lines = ''
  for (let at = 0; at < headers.length; at += 2) lines += `${headers[at]}: ${headers[at + 1]}\r\n`
  return lines
}

const statusLineOf = (status: ReadyHead['status']): string => `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`

/**
 * @param headers names and values; none of those that node writes itself (`Date`, `Connection`, `Keep-Alive`).
 * @throws TypeError of node:http for what is no header name or value (RFC 9110 §5.5).
 */
export const readyHead = (status: ReadyHead['status'], headers: FlatHeaders): ReadyHead => {
  for (let at = 0; at < headers.length; at += 2) {
    validateHeaderName(headers[at] ?? '')
    validateHeaderValue(headers[at] ?? '', headers[at + 1] ?? '')
  }
  const length = headers.indexOf('Content-Length')
  // By way of bytes: V8 keeps a joined string as a tree, and would flatten it for every answer.
  const text = Buffer.from(statusLineOf(status) + linesOf(headers), 'latin1').toString('latin1')
  return { status, text, framing: length < 0 ? [] : headers.slice(length, length + 2) }
}

/** Where node keeps the head between `writeHead` and the first write (lib/_http_outgoing.js, read in 26.10). Not a public name: the test holds every byte. */
interface Headed {
  _header: string
}

/** What node says of date and connection is the same for all answers of a second on connections that go on. */
const goesOn = (response: ServerResponse): boolean => response.shouldKeepAlive && response.useChunkedEncodingByDefault

export type SendReady = (
  response: ServerResponse,
  head: ReadyHead,
  /** Headers that differ from one answer to the next; of our own making. */
  varying: FlatHeaders,
  body: Uint8Array | undefined,
  /** Unix milliseconds. */
  now: number,
) => void

/**
 * @returns what sends a whole answer, for one server: node writes its own head first, and so decides of framing, date and connection as it
 * always does, and ours is put before what it says of the latter two. In the rest of that second its words are used again.
 */
export const createSendReady = (): SendReady => {
  let second = -1
  let words = ''

  const askNode = (response: ServerResponse, { status, framing }: ReadyHead): string => {
    response.writeHead(status, framing as string[])
    return (response as unknown as Headed)._header.slice(statusLineOf(status).length + linesOf(framing).length)
  }

  return (response, head, varying, body, now) => {
    const inSecond = Math.floor(now / 1000)
    let nodes = words
    if (inSecond !== second || !goesOn(response)) {
      nodes = askNode(response, head)
      if (goesOn(response)) {
        words = nodes
        second = inSecond
      }
    }
    response.statusCode = head.status
    ;(response as unknown as Headed)._header = head.text + linesOf(varying) + nodes
    response.end(body)
  }
}
