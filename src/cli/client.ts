/** One HTTP exchange with the server. Bodies are streamed from files with their exact length; nothing is retried here. */
import { type FileHandle, open } from 'node:fs/promises'
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Server } from './server.ts'

/** A part of a local file. */
export interface FilePart {
  readonly path: string
  readonly offset: number
  readonly bytes: number
}

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

/** The file itself cannot be read, or is no longer what it was. */
export class FileFault extends Error {
  override readonly name = 'FileFault'
}

export interface Client extends Disposable {
  readonly url: string
  /** @throws NoAnswer, FileFault, the signal's reason. */
  call(call: Call, signal: AbortSignal): Promise<Answer>
}

/** The server itself gives up on a body after 30 s of silence; a proxy in front usually has 60 s. */
const IDLE_MS = 60_000
/** The longest list we ask for is that of API keys: 80,000 of 200 bytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024
/** 256 KiB: 32 reads a chunk of 8 MiB, and 16 MiB in all at the greatest concurrency of 64. */
const READ_BYTES = 256 * 1024

/** @param connections kept open, and the most that are open at once. */
export const createClient = ({ url, key }: Server, connections: number): Client => {
  const secure = url.startsWith('https:')
  const agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: connections })
  const call: Client['call'] = async ({ method, path, headers, json, file, onSent, idleMs = IDLE_MS }, signal) => {
    signal.throwIfAborted()
    await using handle = file && (await openFile(file.path))
    const text = json === undefined ? undefined : Buffer.from(JSON.stringify(json))
    const request = (secure ? httpsRequest : httpRequest)(url + path, {
      method,
      agent,
      signal,
      headers: {
        Accept: 'application/json',
        Authorization: `Bearer ${key}`,
        ...(text && { 'Content-Type': 'application/json' }),
        ...(method !== 'GET' && { 'Content-Length': file?.bytes ?? text?.length ?? 0 }),
        ...headers,
      },
    })
    request.setTimeout(idleMs, () => request.destroy(new NoAnswer(`${url} was silent for ${idleMs / 1000} s`)))
    const body = handle && file ? { handle, file, onSent } : text
    // Awaited here: the file is closed with this block.
    return await exchange(request, body, signal)
  }
  return { url, call, [Symbol.dispose]: () => agent.destroy() }
}

interface FileBody {
  readonly handle: FileHandle
  readonly file: FilePart
  readonly onSent: ((bytes: number) => void) | undefined
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
  answered.catch(() => undefined)
  let fault: FileFault | undefined
  const sending =
    body === undefined || Buffer.isBuffer(body)
      ? Promise.resolve(void request.end(body))
      : pump(readPart(body), request).catch((error: unknown) => {
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

/** Ends early, without fault, when the request is over. Not `pipeline`, which returns while its source is still reading. */
const pump = async (source: AsyncIterable<Uint8Array>, request: ClientRequest): Promise<void> => {
  for await (const piece of source) {
    if (request.destroyed) return
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

const openFile = async (path: string): Promise<FileHandle> => {
  try {
    return await open(path)
  } catch (cause) {
    throw new FileFault(reasonOf(cause), { cause })
  }
}

/** @throws (while iterated) FileFault when the file cannot be read, or is shorter than it was. */
async function* readPart({ handle, file, onSent }: FileBody): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let sent = 0; sent < file.bytes; ) {
    const wanted = Math.min(READ_BYTES, file.bytes - sent)
    const { bytesRead } = await handle.read(buffer, 0, wanted, file.offset + sent).catch((cause: unknown) => {
      throw new FileFault(reasonOf(cause), { cause })
    })
    if (bytesRead === 0) throw new FileFault('the file became shorter while it was sent')
    sent += bytesRead
    // A copy: the stream below may still hold the last piece when the next is read.
    yield Buffer.from(buffer.subarray(0, bytesRead))
    onSent?.(bytesRead)
  }
}

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

/** The system's word for a fault of a file, without its path, which is said beside it. */
export const reasonOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  const known: Readonly<Record<string, string>> = {
    EACCES: 'permission denied',
    EPERM: 'not permitted',
    ENOENT: 'no such file',
    ENOTDIR: 'no such file',
    EISDIR: 'a folder',
    ELOOP: 'too many symbolic links',
    EMFILE: 'too many open files',
    EIO: 'the disk cannot read it',
  }
  return (code && known[code]) ?? (error instanceof Error ? error.message : String(error))
}
