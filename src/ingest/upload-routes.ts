/** `/uploads`: resumable uploads in numbered chunks. The use cases are `sessions.ts` and `completion.ts`; this is their HTTP. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { parseUploadId } from '../core/ids.ts'
import { AssetSchema, type DescribeAsset } from '../http/asset-document.ts'
import { readBody, refuseCoded } from '../http/body.ts'
import { createRouter, type Env, problems, type Router } from '../http/context.ts'
import { jsonBody } from '../http/json-body.ts'
import type { Guards } from '../http/principal.ts'
import { payUpload, type Quota } from '../http/quota.ts'
import type { Completion } from './completion.ts'
import { createDigestCheck } from './digest-fields.ts'
import type { Parts } from './parts.ts'
import type { ChunkBody, PutChunk } from './put-chunk.ts'
import { countChunks } from './session.ts'
import type { Sessions } from './sessions.ts'
import {
  CreatedSchema,
  describeParts,
  describeSession,
  NewSessionSchema,
  PartsSchema,
  parseNewSession,
  SessionSchema,
} from './upload-documents.ts'

export interface UploadRouteDeps {
  readonly guards: Guards
  readonly describe: DescribeAsset
  readonly quota: Quota
  readonly sessions: Sessions
  readonly completion: Completion
  readonly putChunk: PutChunk
  readonly parts: Parts
  /** Longest wait for a client's next bytes. */
  readonly idleMs: number
  /** Longest wait of `complete` for the asset; then 202. */
  readonly completeWaitMs: number
}

const IdParam = z.object({
  id: z.string().openapi({ param: { name: 'id', in: 'path' }, example: 'u_3q2-7wEoR0eXbC1dYh9zUQ' }),
})
const ChunkParams = IdParam.extend({
  n: z
    .string()
    .regex(/^\d{1,6}$/, 'a chunk number')
    .openapi({ param: { name: 'n', in: 'path' }, description: 'counted from 0', example: '0' }),
})

const PartsQuery = z.object({
  from: z
    .string()
    .regex(/^\d{1,6}$/, 'a chunk number')
    .default('0')
    .openapi({ param: { name: 'from', in: 'query' }, description: 'first chunk of the page', example: '32' }),
})

const shared = { tags: ['uploads'], security: [{ bearer: [] }] }
const json = <T>(description: string, schema: T) => ({ description, content: { 'application/json': { schema } } })
const BINARY = { type: 'string' as const, format: 'binary' }

const create = createRoute({
  ...shared,
  method: 'post',
  path: '/uploads',
  summary: 'Begin a resumable upload',
  description:
    'Details of the asset may be given as at a PATCH of it. Chunks are then put in any order, several at a time: here, or, where the answer has ' +
    '`parts`, into the store itself.',
  request: { body: { required: true, content: { 'application/json': { schema: NewSessionSchema } } } },
  responses: { 201: json('begun', CreatedSchema), ...problems(400, 401, 408, 413, 415, 429, 503) },
})

const putChunk = createRoute({
  ...shared,
  method: 'put',
  path: '/uploads/{id}/chunks/{n}',
  summary: 'Send a chunk',
  description:
    'The bytes from n × chunk_size, chunk_size of them or what is left of the file. 204 means durable. Sent again with the same bytes it is 204 ' +
    'again, with others 409. Content-Digest (RFC 9530) is verified if sent.',
  request: {
    params: ChunkParams,
    body: { required: true, content: { 'application/octet-stream': { schema: BINARY } } },
  },
  responses: { 204: { description: 'durable' }, ...problems(400, 401, 404, 408, 409, 410, 415, 429, 503) },
})

const parts = createRoute({
  ...shared,
  method: 'get',
  path: '/uploads/{id}/parts',
  summary: 'Signed requests that put chunks into the store itself',
  description:
    'From chunk `from` on, a page at a time; also anew, when the earlier ones have expired. 409 where the store takes none: a disk, encryption ' +
    'by configuration, a store that obeys what is not signed, chunks below 5 MiB. A page costs one of the quota `uploads`.',
  request: { params: IdParam, query: PartsQuery },
  responses: { 200: json('a page', PartsSchema), ...problems(400, 401, 404, 409, 410, 429, 503) },
})

const find = createRoute({
  ...shared,
  method: 'get',
  path: '/uploads/{id}',
  summary: 'What of an upload is in',
  request: { params: IdParam },
  responses: { 200: json('the session', SessionSchema), ...problems(401, 404, 503) },
})

const complete = createRoute({
  ...shared,
  method: 'post',
  path: '/uploads/{id}/complete',
  summary: 'Make the asset',
  description:
    'Answers as an upload does. 409 names the chunks that are missing. Where the file has another SHA-256 than was declared, or is no picture ' +
    'that is accepted, the session has failed for good and says the same again. 202: it takes longer; ask again.',
  request: { params: IdParam },
  responses: {
    201: json('stored', AssetSchema),
    200: json('was stored before', AssetSchema),
    202: json('under way', SessionSchema),
    ...problems(401, 404, 409, 410, 413, 415, 422, 503),
  },
})

const abort = createRoute({
  ...shared,
  method: 'delete',
  path: '/uploads/{id}',
  summary: 'Give an upload up',
  description: 'Its bytes are removed. Twice is no fault; one that is done is 409.',
  request: { params: IdParam },
  responses: { 204: { description: 'ended' }, ...problems(401, 404, 409) },
})

export const createUploadRoutes = (deps: UploadRouteDeps): Router => {
  const { guards, sessions, completion } = deps
  const routes = createRouter()
  const own = (c: Context<Env>, id: string) => sessions.load(parseUploadId(id), c.get('principal').ownerId)

  routes.openapi({ ...create, middleware: [guards.caller, jsonBody] as const }, async (c) => {
    const { ownerId } = c.get('principal')
    const wanted = parseNewSession(c.req.valid('json'))
    // Paid for once, as a file that comes in one request: what is sent again costs nothing.
    const pay = () => payUpload(deps.quota, c, wanted.bytes)
    const session = await sessions.create({ ...wanted, ownerId, protocol: 'chunks', tusMetadata: null }, pay)
    const location = `${c.get('publicUrl')}/uploads/${session.id}`
    const page = await deps.parts.offer(session)
    const answer = {
      upload_session_id: session.id,
      chunk_size: session.chunkBytes,
      chunk_count: countChunks(session),
      expires_at: session.expiresAt.toISOString(),
      ...(page && describeParts(page, location)),
    }
    return c.json(answer, 201, { Location: location, 'Cache-Control': 'no-store' })
  })

  routes.openapi({ ...parts, middleware: guards.caller }, async (c) => {
    const session = await own(c, c.req.valid('param').id)
    await deps.quota.spend(c, 'uploads', 1)
    const page = await deps.parts.sign(session, Number(c.req.valid('query').from))
    return c.json(describeParts(page, `${c.get('publicUrl')}/uploads/${session.id}`), 200, {
      'Cache-Control': 'no-store',
    })
  })

  routes.openapi({ ...putChunk, middleware: guards.caller }, async (c) => {
    const { id, n } = c.req.valid('param')
    await deps.putChunk(await own(c, id), Number(n), chunkBody(c, deps.idleMs), c.req.raw.signal)
    return c.body(null, 204)
  })

  routes.openapi({ ...find, middleware: guards.caller }, async (c) => {
    const session = await own(c, c.req.valid('param').id)
    return c.json(describeSession(session, await sessions.received(session)), 200)
  })

  routes.openapi({ ...complete, middleware: guards.caller }, async (c) => {
    const session = await own(c, c.req.valid('param').id)
    const made = await completion.complete(session, deps.completeWaitMs, c.req.raw.signal)
    if (made) return c.json(deps.describe(made.asset, c.get('publicUrl'), made.deduplicated), made.created ? 201 : 200)
    const now = await own(c, session.id)
    return c.json(describeSession(now, await sessions.received(now)), 202, { 'Retry-After': '2' })
  })

  routes.openapi({ ...abort, middleware: guards.caller }, async (c) => {
    await sessions.abort(await own(c, c.req.valid('param').id), c.req.raw.signal)
    return c.body(null, 204)
  })
  return routes
}

/** @throws AppError `unsupported-type` for a coded body: a chunk's length is that of its bytes. */
const chunkBody = (c: Context<Env>, idleMs: number): ChunkBody => {
  refuseCoded(c, 'bytes')
  const length = c.req.header('Content-Length')
  const check = createDigestCheck([c.req.header('Content-Digest')])
  return {
    declaredBytes: length === undefined ? undefined : Number(length),
    source: readBody(c, { idleMs, signal: c.req.raw.signal, see: check.see }),
    verify: check.verify,
  }
}
