/** `Upload-Metadata` (tus 1.0, creation): what of it says something about an asset. Names that clients are known to send are taken. */
import { Metadata } from '@tus/server'
import { AppError } from '../core/errors.ts'

export interface TusMetadata {
  readonly sha256: string | undefined
  readonly mediaType: string
  /** As text, to be judged as the fields of an upload. */
  readonly details: Readonly<Record<string, string>>
}

const DETAILS = ['filename', 'title', 'description', 'visibility', 'tags', 'location', 'taken_at'] as const
const MAX_MEDIA_TYPE_CHARS = 255

/** @throws AppError `bad-request` for what is not `key base64,…`. Unknown keys are the client's own business. */
export const parseTusMetadata = (field: string): TusMetadata => {
  const said = parse(field)
  const { name, filetype, type, sha256 } = said
  return {
    sha256: sha256 ?? undefined,
    mediaType: (filetype ?? type ?? 'application/octet-stream').slice(0, MAX_MEDIA_TYPE_CHARS),
    details: {
      ...(name && { filename: name }),
      ...Object.fromEntries(DETAILS.flatMap((key) => (said[key] ? [[key, said[key]] as const] : []))),
    },
  }
}

const parse = (field: string): Readonly<Record<string, string | null>> => {
  if (field === '') return {}
  try {
    return Metadata.parse(field)
  } catch (cause) {
    throw new AppError('bad-request', 'upload-metadata: pairs of a key and a base64 value, comma-separated', { cause })
  }
}
