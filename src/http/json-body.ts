/** JSON bodies: read whole, but bounded in bytes and in time, and known to be JSON before a schema judges them. */
import type { Context, MiddlewareHandler } from 'hono'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { readBody, refuseCoded } from './body.ts'
import type { Env } from './context.ts'

/**
 * The largest body that a schema accepts is a patch of 10,000 characters of description, 4,096 of tags and 1,520 of names: 94 KB
 * where a client escapes all of them (`\uXXXX`, as Python does by default).
 */
const MAX_BYTES = 128 * 1024
/** From the first byte of the body to its last; 128 KiB take 7 s at 150 kbit/s. */
const DEADLINE_MS = 10_000

const JSON_TYPE = /^application\/(?:[a-z.-]+\+)?json(?:;|$)/i

export interface JsonBodyOptions {
  readonly maxBytes?: number
  readonly deadlineMs?: number
}

/**
 * Middleware for every route whose body is JSON; stands behind the guards, so that only a known caller's body is read.
 * @throws (from the middleware) AppError `unsupported-type` for another type or a Content-Encoding, `too-large` as soon as
 * the bound is passed, `timeout`, and `bad-request` for what is empty, cut short, not UTF-8 or not JSON.
 */
export const createJsonBody = (options: JsonBodyOptions = {}): MiddlewareHandler<Env> => {
  const { maxBytes = MAX_BYTES, deadlineMs = DEADLINE_MS } = options
  return async (c, next) => {
    judgeHeaders(c, maxBytes)
    const text = decode(await readWhole(c, maxBytes, deadlineMs))
    judgeText(text)
    // Where Hono keeps a body that was read: its validator finds it there.
    Object.assign(c.req.bodyCache, { text: Promise.resolve(text) })
    await next()
  }
}

/** With the bounds that every route of ours has. */
export const jsonBody = createJsonBody()

const judgeHeaders = (c: Context<Env>, maxBytes: number): void => {
  const type = c.req.header('Content-Type')
  if (!type || !JSON_TYPE.test(type))
    throw new AppError('unsupported-type', `send application/json, not ${type ? quote(type) : 'a body without a type'}`)
  refuseCoded(c, 'JSON')
  if (Number(c.req.header('Content-Length') ?? 0) > maxBytes) throw tooLarge(maxBytes)
}

const readWhole = async (c: Context<Env>, maxBytes: number, deadlineMs: number): Promise<Buffer> => {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(late(deadlineMs)), deadlineMs)
  const chunks: Uint8Array[] = []
  let bytes = 0
  const see = (chunk: Uint8Array) => {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw tooLarge(maxBytes)
  }
  try {
    // A stall is the deadline's to find, hence a longest wait beyond it.
    for await (const chunk of readBody(c, { idleMs: 2 * deadlineMs, signal: deadline.signal, see })) chunks.push(chunk)
    return Buffer.concat(chunks)
  } finally {
    clearTimeout(timer)
  }
}

const decode = (bytes: Buffer): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new AppError('bad-request', 'the body is not UTF-8', { cause })
  }
}

const judgeText = (text: string): void => {
  if (text.trim() === '') throw new AppError('bad-request', 'the body is empty; a JSON object is needed')
  try {
    JSON.parse(text)
  } catch (error) {
    throw new AppError('bad-request', `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

const tooLarge = (maxBytes: number): AppError =>
  new AppError('too-large', `the body is over the limit of ${maxBytes} bytes`)

/** The connection is of no more use: what the client sends later would be read as its next request. */
const late = (deadlineMs: number): AppError =>
  new AppError('timeout', `the body was not whole after ${deadlineMs / 1000} s`, { headers: { Connection: 'close' } })
