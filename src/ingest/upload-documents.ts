/** What the calls on resumable uploads take and answer, as schemas. */
import { z } from '@hono/zod-openapi'
import { parseDigest } from '../core/ids.ts'
import type { SentPart, UploadSession } from '../core/upload-session.ts'
import { DetailsPatch, type DetailsText } from '../http/asset-details.ts'
import type { PartsPage } from './parts.ts'
import { contiguousBytes, countChunks, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, missingChunks, stateAt } from './session.ts'
import type { NewSession } from './sessions.ts'

/** RFC 6838 §4.2: type and subtype of up to 127 characters each; parameters say nothing of a picture. */
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/

export const NewSessionSchema = z
  .strictObject({
    file_name: z.string().min(1).max(1020).openapi({ description: 'its last part becomes the filename of the asset' }),
    file_size: z.int().min(1).openapi({ description: 'bytes' }),
    mime_type: z
      .string()
      .regex(MEDIA_TYPE, 'a media type, such as image/jpeg')
      .openapi({ description: 'advisory: the type is found in the bytes' }),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, '64 lower-case hex digits')
      .optional()
      .openapi({ description: 'of the whole file; where it is another, completion fails for good (422)' }),
    chunk_size: z
      .int()
      .min(MIN_CHUNK_BYTES)
      .max(MAX_CHUNK_BYTES)
      .optional()
      .openapi({ description: 'wanted bytes of a chunk; the answer says what they are' }),
    ...DetailsPatch.omit({ filename: true }).shape,
  })
  .openapi('NewUploadSession')
export type NewSessionRequest = z.infer<typeof NewSessionSchema>

/** What is null says nothing here: there is nothing yet to be cleared. */
export const parseNewSession = (
  request: NewSessionRequest,
): Omit<NewSession, 'ownerId' | 'protocol' | 'tusMetadata'> => {
  const { file_name, file_size, mime_type, sha256, chunk_size, ...rest } = request
  const said = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== undefined))
  const details: DetailsText = { ...said, filename: DetailsPatch.shape.filename.parse(file_name) ?? null }
  return {
    bytes: file_size,
    chunkBytes: chunk_size,
    mediaType: mime_type,
    declared: sha256 === undefined ? null : parseDigest(sha256),
    details,
  }
}

const PartSchema = z.object({
  chunk: z.int().openapi({ description: 'counted from 0' }),
  bytes: z.int().openapi({ description: 'what the store takes, no more and no less' }),
  url: z.string().openapi({ description: 'PUT the chunk here; a secret for its time' }),
  headers: z.record(z.string(), z.string()).openapi({ description: 'to be sent with it' }),
})

export const PartsSchema = z
  .object({
    parts: z.array(PartSchema),
    parts_expire_at: z.string(),
    next_parts: z.string().nullable().openapi({ description: 'GET it for those of the next chunks' }),
  })
  .openapi('UploadParts')

export const CreatedSchema = z.object({
  upload_session_id: z.string(),
  chunk_size: z.int(),
  chunk_count: z.int(),
  expires_at: z.string(),
  ...PartsSchema.partial().shape,
})

/** @param location of the session. */
export const describeParts = (
  { parts, expiresAt, next }: PartsPage,
  location: string,
): z.infer<typeof PartsSchema> => ({
  parts: parts.map(({ headers, ...part }) => ({ ...part, headers: { ...headers } })),
  parts_expire_at: expiresAt.toISOString(),
  next_parts: next === undefined ? null : `${location}/parts?from=${next}`,
})

const STATES = ['created', 'receiving', 'completing', 'done', 'failed', 'expired', 'aborted'] as const

export const SessionSchema = z
  .object({
    upload_session_id: z.string().openapi({ example: 'u_3q2-7wEoR0eXbC1dYh9zUQ' }),
    state: z.enum(STATES),
    protocol: z.enum(['chunks', 'tus']),
    file_size: z.int(),
    chunk_size: z.int().openapi({ description: 'bytes of every chunk but the last' }),
    chunk_count: z.int(),
    received_bytes: z.int(),
    received_chunks: z.array(z.int()).openapi({ description: 'numbers from 0; empty with tus, which has an offset' }),
    missing_chunks: z.array(z.int()),
    offset: z.int().openapi({ description: 'bytes from the start without a gap' }),
    created_at: z.string(),
    expires_at: z.string(),
    asset_id: z.string().nullable().openapi({ description: 'when done' }),
    problem: z.string().nullable().openapi({ description: 'when failed' }),
  })
  .openapi('UploadSession')
export type SessionDocument = z.infer<typeof SessionSchema>

/** @param pieces what is in, in order, as `Sessions.received` says it: all of a session that is done, none of one that was given up. */
export const describeSession = (session: UploadSession, pieces: readonly SentPart[]): SessionDocument => {
  const state = stateAt(session, new Date())
  const kept = state === 'receiving' || state === 'completing' || state === 'done'
  const numbered = session.protocol === 'chunks' && kept
  const received = pieces.reduce((sum, { bytes }) => sum + bytes, 0)
  return {
    upload_session_id: session.id,
    state: state === 'receiving' && pieces.length === 0 ? 'created' : state,
    protocol: session.protocol,
    file_size: session.bytes,
    chunk_size: session.chunkBytes,
    chunk_count: countChunks(session),
    received_bytes: received,
    received_chunks: numbered ? pieces.map(({ offset }) => offset / session.chunkBytes) : [],
    missing_chunks: numbered ? [...missingChunks(session, pieces)] : [],
    offset: contiguousBytes(pieces, session.bytes),
    created_at: session.createdAt.toISOString(),
    expires_at: session.expiresAt.toISOString(),
    asset_id: session.assetId,
    problem: session.failure?.message ?? null,
  }
}
