/** A `multipart/form-data` upload (RFC 7578): one file in the field `file`, details in the others, streamed into staging. */
import { once } from 'node:events'
import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy'
import type { Staged } from '../blobs/store.ts'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** The details are seven; a form with more is not ours. */
const MAX_FIELDS = 16
/** A description of 10,000 characters in UTF-8, and room. */
const MAX_FIELD_BYTES = 64 * 1024
const MAX_NAME_BYTES = 100

export interface ReceivedForm {
  readonly staged: Staged
  readonly fields: Readonly<Record<string, string>>
  /** As the client sent it, path and all. */
  readonly filename: string | undefined
}

export type Stage = (source: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<Staged>

/**
 * Reads the whole form; the caller disposes of what is staged. Fields may come before or after the file.
 * @throws AppError `bad-request` for a form that is malformed, cut short, has no file, two files, a file elsewhere, a field
 * twice or too long; what `stage` and `body` throw. Nothing stays staged then.
 */
export const receiveForm = async (
  body: AsyncIterable<Uint8Array>,
  contentType: string,
  stage: Stage,
  signal: AbortSignal,
): Promise<ReceivedForm> => {
  const faults = new AbortController()
  const stop = AbortSignal.any([signal, faults.signal])
  const form = watchForm(
    openParser(contentType),
    (file) => stage(file, stop),
    (fault) => faults.abort(fault),
  )
  try {
    await pump(body, form.parser, stop)
    const staged = await form.staged()
    if (!staged) throw new AppError('bad-request', 'the form has no file in a field named "file"')
    stop.throwIfAborted()
    return { staged, fields: Object.fromEntries(form.fields), filename: form.filename() }
  } catch (error) {
    faults.abort(error)
    const staged = await form.staged().catch(() => undefined)
    await staged?.[Symbol.asyncDispose]()
    throw stop.reason
  } finally {
    form.parser.destroy()
  }
}

const openParser = (contentType: string): BusboyInstance => {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      // Paths are cut where every filename is judged, not by the parser's idea of one.
      preservePath: true,
      isPartAFile: (name, _type, filename) => filename !== undefined || name === 'file',
      limits: {
        fields: MAX_FIELDS,
        files: 2,
        fieldSize: MAX_FIELD_BYTES,
        fieldNameSize: MAX_NAME_BYTES,
        headerPairs: 32,
      },
    })
  } catch (cause) {
    throw new AppError('bad-request', `a form needs a boundary: ${quote(contentType)}`, { cause })
  }
}

const watchForm = (
  parser: BusboyInstance,
  stage: (file: BusboyFileStream) => Promise<Staged>,
  fail: (fault: AppError) => void,
) => {
  const fields = new Map<string, string>()
  let staging: Promise<Staged> | undefined
  let filename: string | undefined
  const refuse = (message: string, cause?: unknown) => fail(new AppError('bad-request', message, { cause }))
  parser.on('error', (cause) => refuse('the form is malformed or cut short', cause))
  parser.on('fieldsLimit', () => refuse(`the form has more than ${MAX_FIELDS} fields`))
  parser.on('filesLimit', () => refuse('the form has more than one file'))
  parser.on('field', (name, value, nameCut, valueCut) => {
    if (nameCut || valueCut) refuse(`the form's field ${quote(name)} is too long`)
    if (fields.has(name)) refuse(`the form's field ${quote(name)} comes twice`)
    fields.set(name, value)
  })
  parser.on('file', (name, file, sentName) => {
    // An unread part would stop the parser; its own error has been told already by the parser's.
    file.on('error', () => undefined)
    if (name === 'file' && !staging) {
      filename = sentName
      staging = stage(file)
      staging.catch(fail)
      return
    }
    file.resume()
    refuse(staging ? 'the form has more than one file' : `the file goes in a field named "file", not ${quote(name)}`)
  })
  return { parser, fields, staged: async () => staging, filename: () => filename }
}

const pump = async (body: AsyncIterable<Uint8Array>, parser: BusboyInstance, stop: AbortSignal): Promise<void> => {
  const finished = once(parser, 'finish', { signal: stop })
  finished.catch(() => undefined)
  for await (const chunk of body) {
    stop.throwIfAborted()
    if (!parser.write(chunk)) await once(parser, 'drain', { signal: stop })
  }
  parser.end()
  await finished
}
