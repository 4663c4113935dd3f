/**
 * A scanner that speaks clamd's protocol (clamd(8), INSTREAM): `zINSTREAM\0`, then the bytes in chunks, each behind its length as four
 * bytes, big-endian, then a length of zero; the answer is `stream: OK`, `stream: <signature> FOUND` or `… ERROR`, up to a NUL.
 */
import { connect, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { letArrive } from '../core/let-arrive.ts'

export type Verdict = { readonly kind: 'clean' } | { readonly kind: 'infected'; readonly signature: string }

export interface Scanner {
  /** Reads the bytes to their end, or until the scanner has made up its mind. @throws Error when it is away, refuses, or the signal aborts. */
  scan(bytes: Readable, signal: AbortSignal): Promise<Verdict>
}

export type ClamdAddress = { readonly host: string; readonly port: number } | { readonly path: string }

/** A chunk on the wire: what a file stream gives at a time. clamd takes any size. */
const MAX_CHUNK = 64 * 1024
/** An answer is a line; a peer that goes on is none of ours. */
const MAX_ANSWER = 4096
/** Until it is there; on a local network it takes a millisecond. */
const CONNECT_LIMIT_MS = 5_000
/** Of silence, while bytes are sent or their verdict is waited for. */
const SILENCE_LIMIT_MS = 60_000

export const createClamd = (address: ClamdAddress): Scanner => ({
  scan: async (bytes, signal) => {
    const socket = connect(address)
    const stop = () => socket.destroy(signal.reason instanceof Error ? signal.reason : new Error('stopped'))
    try {
      signal.throwIfAborted()
      signal.addEventListener('abort', stop, { once: true })
      const answer = readAnswer(socket)
      // It may answer before it has read all, such as "size limit exceeded", and hang up: then the answer is what counts.
      let unread: unknown
      bytes.once('error', (error) => {
        unread = error
        socket.destroy()
      })
      send(socket, bytes).catch(() => undefined)
      const text = await answer.catch((cause: unknown) => {
        if (signal.aborted) throw signal.reason
        throw unread ?? new Error('the scanner hung up', { cause })
      })
      return parseAnswer(text)
    } finally {
      signal.removeEventListener('abort', stop)
      socket.destroy()
      bytes.destroy()
    }
  },
})

const send = async (socket: Socket, bytes: Readable): Promise<void> => {
  await write(socket, Buffer.from('zINSTREAM\0'))
  // Left as they are where a write fails: their own error would hide the scanner's answer.
  for await (const chunk of bytes.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += MAX_CHUNK) {
      const part = chunk.subarray(at, at + MAX_CHUNK)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      await letArrive()
      socket.cork()
      socket.write(length)
      const done = write(socket, part)
      socket.uncork()
      await done
    }
  }
  await write(socket, Buffer.alloc(4))
}

/** Resolves when the kernel has taken it: so no more than a chunk is held, however slow the scanner. */
const write = (socket: Socket, part: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.write(part, (error) => (error ? reject(error) : resolve()))
  })

const readAnswer = (socket: Socket): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ''
    socket.setTimeout(CONNECT_LIMIT_MS, () => socket.destroy(new Error('the scanner does not answer')))
    socket.once('connect', () => socket.setTimeout(SILENCE_LIMIT_MS))
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => {
      text += part
      const end = text.indexOf('\0')
      if (end >= 0) resolve(text.slice(0, end))
      else if (text.length > MAX_ANSWER) socket.destroy(new Error('the scanner says more than a line'))
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed without an answer')))
  })

/** @throws Error for `… ERROR` and for anything that is no answer. */
export const parseAnswer = (text: string): Verdict => {
  if (/^stream: OK$/.test(text)) return { kind: 'clean' }
  const signature = /^stream: (.{1,200}) FOUND$/.exec(text)?.[1]
  if (signature !== undefined) return { kind: 'infected', signature }
  throw new Error(`the scanner answered ${JSON.stringify(text.slice(0, 200))}`)
}
