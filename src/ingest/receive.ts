/** A request → staged bytes and what its sender says about them: raw body or form, bounded, hashed once, checked if asked. */
import type { Context } from 'hono'
import type { OriginalStore, Staged } from '../blobs/store.ts'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { DetailsText } from '../http/asset-details.ts'
import { readBody, refuseCoded } from '../http/body.ts'
import type { Env } from '../http/context.ts'
import { createDigestCheck } from './digest-fields.ts'
import { receiveForm } from './form.ts'

/** A form's boundaries, part headers and fields beside its file. */
const FORM_OVERHEAD_BYTES = 256 * 1024

export interface ReceiveOptions {
  readonly maxUploadBytes: number
  /** Longest wait for the client's next chunk. */
  readonly idleMs: number
}

export interface Received {
  readonly staged: Staged
  readonly details: DetailsText
}

/** What of a request's framing decides its fate before a byte is read. */
export interface Declared {
  /** Bytes of the whole body, at most; the largest allowed where the client does not say. */
  readonly bytes: number
  /** The client has said how many. */
  readonly exact: boolean
  readonly form: boolean
  readonly contentType: string
}

/** @throws AppError `too-large` by its Content-Length, `unsupported-type` for a body that is neither picture nor form. */
export const judgeHeaders = (c: Context<Env>, maxUploadBytes: number): Declared => {
  const contentType = c.req.header('Content-Type') ?? 'application/octet-stream'
  const type = contentType.split(';')[0]?.trim().toLowerCase() ?? ''
  const form = type === 'multipart/form-data'
  if (!form && type !== 'application/octet-stream' && !type.startsWith('image/'))
    throw new AppError('unsupported-type', `send multipart/form-data, or the file as image/…, not as ${quote(type)}`)
  refuseCoded(c, 'file')
  const limit = form ? maxUploadBytes + FORM_OVERHEAD_BYTES : maxUploadBytes
  const length = c.req.header('Content-Length')
  const bytes = length === undefined ? limit : Number(length)
  if (bytes > limit) throw new AppError('too-large', `${bytes} bytes are over the limit of ${maxUploadBytes}`)
  return { bytes, exact: length !== undefined, form, contentType }
}

/**
 * The caller disposes of what is staged.
 * @throws AppError `timeout` (stalled or too slow), `bad-request` (cut short, empty, digest mismatch, unknown or wrong details), `too-large`, `busy`.
 */
export const receive = async (
  c: Context<Env>,
  originals: OriginalStore,
  { form, contentType }: Declared,
  options: ReceiveOptions,
  signal: AbortSignal,
): Promise<Received> => {
  const check = createDigestCheck([c.req.header('Content-Digest'), c.req.header('Repr-Digest')])
  const body = readBody(c, { idleMs: options.idleMs, signal, see: check.see })
  const stage = (source: AsyncIterable<Uint8Array>, stop: AbortSignal) =>
    originals.stage(source, options.maxUploadBytes, stop)
  const { staged, filename, fields } = form
    ? await receiveForm(body, contentType, stage, signal)
    : { staged: await stage(body, signal), filename: sentFilename(c), fields: {} }
  try {
    if (staged.bytes === 0) throw new AppError('bad-request', 'the upload is empty')
    check.verify()
    return { staged, details: parseDetails({ ...(filename && { filename }), ...c.req.query(), ...fields }) }
  } catch (error) {
    await staged[Symbol.asyncDispose]()
    throw error
  }
}

const parseDetails = (fields: Readonly<Record<string, string>>): DetailsText => {
  const parsed = DetailsText.safeParse(fields)
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map(({ path, message }) => `${path.map(String).join('.') || 'upload'}: ${message}`)
  throw new AppError('bad-request', faults.join('; '))
}

/** `X-Filename` (percent-encoded or plain), else the name in `Content-Disposition` (RFC 6266 §4.3, the extended form first). */
const sentFilename = (c: Context<Env>): string | undefined => {
  const own = c.req.header('X-Filename')
  if (own) return percentDecoded(own)
  const disposition = c.req.header('Content-Disposition') ?? ''
  const extended = /;\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)/i.exec(disposition)?.[1]
  if (extended) return percentDecoded(extended)
  const [, quoted, token] = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(disposition) ?? []
  return quoted?.replace(/\\(.)/g, '$1') ?? token
}

const percentDecoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
