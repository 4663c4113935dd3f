/** A client of resumable uploads (CONTRACT §4) over node:http, which says of every request how it ended. */
import { Agent, type IncomingMessage, request } from 'node:http'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Origin } from '../origin.ts'

/** Told to wait so often, a client gives up. */
const MAX_WAITS = 100
/** Where the server does not say how long. */
const DEFAULT_WAIT_MS = 200

export interface SessionTally {
  /** Milliseconds from the begin of a chunk's request to its answer. */
  readonly chunkMs: number[]
  /** Answers 429 and 503 with `Retry-After`. */
  waits: number
  /** Everything else that was not 2xx, in words. */
  readonly errors: string[]
}

export interface SessionClient extends Disposable {
  readonly tally: SessionTally
  /** Declares a file. @returns the session's id and the bytes of its chunks. */
  begin(name: string, bytes: number, chunkBytes?: number): Promise<{ readonly id: string; readonly chunkBytes: number }>
  /** `open` gives the chunk's bytes anew for every attempt. */
  put(id: string, index: number, bytes: number, open: () => Readable | Buffer): Promise<void>
  /** Asks until the asset is there. */
  complete(id: string): Promise<void>
}

interface Told {
  readonly status: number
  readonly retryAfterMs: number
  readonly body: string
}

export const createSessionClient = ({ port, authorization }: Origin, connections: number): SessionClient => {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const tally: SessionTally = { chunkMs: [], waits: 0, errors: [] }

  const once = async (method: string, path: string, headers: object, open: () => Readable | Buffer): Promise<Told> => {
    const answered = Promise.withResolvers<IncomingMessage>()
    const sent = request({
      host: '127.0.0.1',
      port,
      agent,
      method,
      path,
      headers: { Authorization: authorization, ...headers },
    })
    sent.once('response', answered.resolve).once('error', answered.reject)
    const body = open()
    if (Buffer.isBuffer(body)) sent.end(body)
    // An answer may come before all is sent, and the rest is then not wanted: the answer is what counts.
    else pipeline(body, sent).catch(answered.reject)
    const response = await answered.promise
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const retryAfter = Number(response.headers['retry-after'])
    return {
      status: response.statusCode ?? 0,
      retryAfterMs: retryAfter > 0 ? retryAfter * 1000 : DEFAULT_WAIT_MS,
      body: Buffer.concat(chunks).toString(),
    }
  }
  /** @throws Error for what is neither 2xx nor "wait". */
  const ask = async (
    method: string,
    path: string,
    headers: object,
    open: () => Readable | Buffer = () => Buffer.alloc(0),
  ): Promise<Told> => {
    for (let waits = 0; waits <= MAX_WAITS; waits += 1) {
      const told = await once(method, path, headers, open)
      if (told.status >= 200 && told.status < 300) return told
      if (told.status !== 429 && told.status !== 503) throw new Error(`${told.status} ${told.body.slice(0, 200)}`)
      tally.waits += 1
      await sleep(told.retryAfterMs)
    }
    throw new Error(`${method} ${path}: told to wait more than ${MAX_WAITS} times`)
  }

  return {
    tally,
    begin: async (name, bytes, chunkBytes) => {
      const text = JSON.stringify({
        file_name: name,
        file_size: bytes,
        mime_type: 'image/jpeg',
        ...(chunkBytes && { chunk_size: chunkBytes }),
      })
      const { body } = await ask('POST', '/uploads', { 'Content-Type': 'application/json' }, () => Buffer.from(text))
      const made = JSON.parse(body) as { readonly upload_session_id: string; readonly chunk_size: number }
      return { id: made.upload_session_id, chunkBytes: made.chunk_size }
    },
    put: async (id, index, bytes, open) => {
      const from = performance.now()
      const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': bytes }
      await ask('PUT', `/uploads/${id}/chunks/${index}`, headers, open)
      tally.chunkMs.push(performance.now() - from)
    },
    complete: async (id) => {
      let told = await ask('POST', `/uploads/${id}/complete`, {})
      while (told.status === 202) {
        await sleep(DEFAULT_WAIT_MS)
        told = await ask('POST', `/uploads/${id}/complete`, {})
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  }
}
