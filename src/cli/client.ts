/** One HTTP exchange with the server. Bodies are streamed from files with their exact length; nothing is retried here. */
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { letArrive } from '../core/let-arrive.ts'
import { type FileBody, FileFault, type FilePart, openFile, readPart } from './file-part.ts'
import type { Server } from './server.ts'

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** From the root of the API, with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly file?: FilePart
  /** Told of the file's bytes as they go. */
  readonly onSent?: (bytes: number) => void
  /** Longest silence, in milliseconds. */
  readonly idleMs?: number
}

/** A request of which every part was signed by the server: whoever has it may send it, and no other. */
export interface SignedPut {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/** Whatever the server said, errors too. */
export interface Answer {
  readonly status: number
  /** Milliseconds after which the server wants to be asked again. */
  readonly retryAfterMs: number | undefined
  /** Parsed JSON; undefined where the body was none. */
  readonly body: unknown
}

/** No answer: refused, reset, unknown host, silent. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

export interface Client extends Disposable {
  readonly url: string
  /** @throws NoAnswer, FileFault, the signal's reason. */
  call(call: Call, signal: AbortSignal): Promise<Answer>
  /** A part of a file to the server's store, without the key. @throws as `call`. */
  put(signed: SignedPut, body: Required<Pick<Call, 'file' | 'onSent'>>, signal: AbortSignal): Promise<Answer>
}

/** The server itself gives up on a body after 30 s of silence; a proxy in front usually has 60 s. */
const IDLE_MS = 60_000
/** The longest list we ask for is that of API keys: 80,000 of 200 bytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024
/** @param connections kept open, and the most that are open at once. */
export const createClient = ({ url, key }: Server, connections: number): Client => {
  const agents = {
    http: new HttpAgent({ keepAlive: true, maxSockets: connections }),
    https: new HttpsAgent({ keepAlive: true, maxSockets: connections }),
  }
  const open = (
    method: Call['method'],
    to: string,
    headers: OutgoingHttpHeaders,
    idleMs: number,
    signal: AbortSignal,
  ) => {
    const secure = to.startsWith('https:')
    const agent = secure ? agents.https : agents.http
    const request = (secure ? httpsRequest : httpRequest)(to, { method, agent, signal, headers })
    const silent = () => request.destroy(new NoAnswer(`${new URL(to).origin} was silent for ${idleMs / 1000} s`))
    return request.setTimeout(idleMs, silent)
  }
  return {
    url,
    call: async ({ method, path, headers, json, file, onSent, idleMs = IDLE_MS }, signal) => {
      signal.throwIfAborted()
      await using handle = file && (await openFile(file.path))
      const text = json === undefined ? undefined : Buffer.from(JSON.stringify(json))
      const all = {
        Accept: 'application/json',
        Authorization: `Bearer ${key}`,
        ...(text && { 'Content-Type': 'application/json' }),
        ...(method !== 'GET' && { 'Content-Length': file?.bytes ?? text?.length ?? 0 }),
        ...headers,
      }
      const body = handle && file ? { handle, file, onSent } : text
      // Awaited here: the file is closed with this block.
      return await exchange(open(method, url + path, all, idleMs, signal), body, signal)
    },
    put: async (signed, { file, onSent }, signal) => {
      signal.throwIfAborted()
      await using handle = await openFile(file.path)
      const headers = { ...signed.headers, 'Content-Length': file.bytes }
      return await exchange(open('PUT', signed.url, headers, IDLE_MS, signal), { handle, file, onSent }, signal)
    },
    [Symbol.dispose]: () => {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}

/** An answer may come before the body has been sent, such as 413: then it counts, and the rest of the body does not. */
const exchange = async (
  request: ClientRequest,
  body: FileBody | Buffer | undefined,
  signal: AbortSignal,
): Promise<Answer> => {
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.once('error', reject)
  })
  // Later errors of a request that was answered, and of one whose file failed first, are nobody's.
  request.on('error', () => undefined)
  let over = false
  const settle = () => {
    over = true
  }
  answered.then(settle, settle)
  let fault: FileFault | undefined
  const sending =
    body === undefined || Buffer.isBuffer(body)
      ? Promise.resolve(void request.end(body))
      : pump(readPart(body), request, () => over).catch((error: unknown) => {
          if (error instanceof FileFault) fault = error
          request.destroy()
        })
  try {
    return await readAnswer(await answered)
  } catch (cause) {
    signal.throwIfAborted()
    if (fault) throw fault
    if (cause instanceof NoAnswer) throw cause
    throw new NoAnswer(cause instanceof Error ? cause.message : String(cause), { cause })
  } finally {
    if (!request.writableFinished) request.destroy()
    await sending
  }
}

/** Ends early, without fault, when the request was answered. Not `pipeline`, which returns while its source is still reading. */
const pump = async (
  source: AsyncIterable<Uint8Array>,
  request: ClientRequest,
  isOver: () => boolean,
): Promise<void> => {
  for await (const piece of source) {
    await letArrive()
    if (isOver()) return
    if (!request.write(piece)) await writable(request)
  }
  request.end()
}

/** Room again, or no more need of it. */
const writable = (request: ClientRequest): Promise<void> =>
  new Promise((resolve) => {
    const settle = () => {
      request.off('drain', settle)
      request.off('close', settle)
      resolve()
    }
    request.on('drain', settle)
    request.on('close', settle)
    if (request.destroyed) settle()
  })

const readAnswer = async (response: IncomingMessage): Promise<Answer> => {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > MAX_ANSWER_BYTES) throw new NoAnswer(`an answer of over ${MAX_ANSWER_BYTES} bytes`)
    pieces.push(piece)
  }
  return {
    status: response.statusCode ?? 0,
    retryAfterMs: parseRetryAfter(response.headers['retry-after'], Date.now()),
    body: parseJson(Buffer.concat(pieces).toString()),
  }
}

/** Seconds or an HTTP date (RFC 9110 §10.2.3), as milliseconds from `now`. */
export const parseRetryAfter = (text: string | undefined, now: number): number | undefined => {
  if (text === undefined) return undefined
  const at = /^\d{1,9}$/.test(text) ? now + Number(text) * 1000 : Date.parse(text)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
