/** Reads HTTP/1.1 answers off a byte stream with as little work as tells where each ends: the generator must not be what limits. */

const HEADER_END = Buffer.from('\r\n\r\n')
const LAST_CHUNK = '0\r\n\r\n'

export interface AnswerReader {
  /** Takes the next bytes. @returns the status once an answer is whole, else 0. Bytes of two answers never come together. */
  push(chunk: Buffer): number
}

/** For one connection without pipelining. Understands Content-Length, chunked, and the statuses without a body. */
export const createAnswerReader = (): AnswerReader => {
  let header = ''
  let status = 0
  let missing = 0
  let chunked = false
  let tail = ''

  const finish = (): number => {
    const done = status
    status = 0
    return done
  }
  const body = (chunk: Buffer, from: number): number => {
    if (chunked) {
      tail = (tail + chunk.toString('latin1', Math.max(from, chunk.length - LAST_CHUNK.length))).slice(
        -LAST_CHUNK.length,
      )
      return tail === LAST_CHUNK ? finish() : 0
    }
    missing -= chunk.length - from
    return missing <= 0 ? finish() : 0
  }

  return {
    push(chunk) {
      if (status !== 0) return body(chunk, 0)
      // A header cut in two is rare and small, so looking through it again is cheap.
      const whole = header === '' ? chunk : Buffer.concat([Buffer.from(header, 'latin1'), chunk])
      const end = whole.indexOf(HEADER_END)
      if (end < 0) {
        header = whole.toString('latin1')
        return 0
      }
      const text = whole.toString('latin1', 0, end)
      header = ''
      status = Number(text.slice(9, 12))
      chunked = /\r\ntransfer-encoding: *chunked/i.test(text)
      const bodiless = status === 304 || status === 204
      missing = bodiless ? 0 : Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0)
      tail = ''
      return bodiless ? finish() : body(whole, end + HEADER_END.length)
    },
  }
}
