/** `/files`: tus 1.0 with creation, creation-with-upload, expiration, termination and checksum. What it makes are sessions as of `/uploads`. */
import { createRoute } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { AppError } from '../core/errors.ts'
import { parseDigest, parseUploadId, quote } from '../core/ids.ts'
import type { UploadSession } from '../core/upload-session.ts'
import { DetailsText } from '../http/asset-details.ts'
import { readBody, refuseCoded } from '../http/body.ts'
import { createRouter, type Env, problems, type Router } from '../http/context.ts'
import type { Guards } from '../http/principal.ts'
import { refusalResponse } from '../http/problem.ts'
import { payUpload, type Quota } from '../http/quota.ts'
import type { Completion } from './completion.ts'
import { CHECKSUM_ALGORITHMS, createChecksumCheck } from './tus-checksum.ts'
import { parseTusMetadata } from './tus-metadata.ts'
import { ASSET_HEADER, answerTus, TUS_PATH, type TusPorts } from './tus-server.ts'

export interface TusRouteDeps extends TusPorts {
  readonly guards: Guards
  readonly quota: Quota
  readonly completion: Completion
  readonly idleMs: number
  readonly completeWaitMs: number
}

const VERSION = '1.0.0'
const OCTETS = 'application/offset+octet-stream'

const BINARY = { type: 'string' as const, format: 'binary' }
const text = (name: string, required = false) => ({
  name,
  in: 'header' as const,
  required,
  schema: { type: 'string' as const },
})
const shared = { tags: ['uploads'], security: [{ bearer: [] }] }
const body = { content: { [OCTETS]: { schema: BINARY } } }
const idParameter = { name: 'id', in: 'path' as const, required: true, schema: { type: 'string' as const } }

const create = createRoute({
  ...shared,
  method: 'post',
  path: TUS_PATH,
  summary: 'tus 1.0: begin an upload',
  description:
    'See https://tus.io/protocols/resumable-upload. Upload-Metadata may have filename, filetype, sha256, and the details of an asset.',
  parameters: [text('tus-resumable', true), text('upload-length', true), text('upload-metadata')],
  request: { body },
  responses: { 201: { description: 'begun, at Location' }, ...problems(400, 401, 408, 413, 429, 503) },
})
const patch = createRoute({
  ...shared,
  method: 'patch',
  path: `${TUS_PATH}/{id}`,
  summary: 'tus 1.0: go on',
  description: `With the last byte the asset is made; ${ASSET_HEADER} names it. Upload-Checksum: ${CHECKSUM_ALGORITHMS.join(', ')}.`,
  parameters: [idParameter, text('tus-resumable', true), text('upload-offset', true), text('upload-checksum')],
  request: { body },
  responses: {
    204: { description: 'durable up to Upload-Offset' },
    ...problems(400, 401, 404, 408, 409, 410, 415, 422, 503),
  },
})
const remove = createRoute({
  ...shared,
  method: 'delete',
  path: `${TUS_PATH}/{id}`,
  summary: 'tus 1.0: give an upload up',
  parameters: [idParameter, text('tus-resumable', true)],
  responses: { 204: { description: 'ended' }, ...problems(401, 404, 409) },
})
const head = {
  ...shared,
  method: 'head' as const,
  path: `${TUS_PATH}/{id}`,
  summary: 'tus 1.0: where to go on',
  parameters: [idParameter, text('tus-resumable', true)],
  responses: { 200: { description: 'Upload-Offset, Upload-Length' }, ...problems(401, 404, 410) },
}

/** OPTIONS is the protocol's own, so it is not answered by what answers it elsewhere (`http/methods.ts`). */
const ALLOW_ONE = 'HEAD, PATCH, DELETE, OPTIONS'
const ALLOW = [
  [TUS_PATH, 'POST, OPTIONS'],
  [`${TUS_PATH}/:id`, ALLOW_ONE],
] as const

export const createTusRoutes = (deps: TusRouteDeps): Router => {
  const routes = createRouter()
  routes.use(`${TUS_PATH}/*`, saysVersion)
  const answer = (c: Context<Env>) => answered(c, () => callTus(deps, c, c.req.raw.method))
  routes.openapi({ ...create, middleware: deps.guards.caller }, answer)
  routes.openapi({ ...patch, middleware: deps.guards.caller }, answer)
  routes.openapi({ ...remove, middleware: deps.guards.caller }, answer)
  // Hono asks the route of GET for a HEAD. A GET itself is none of the protocol's.
  routes.openAPIRegistry.registerPath(head)
  routes.get(`${TUS_PATH}/:id`, deps.guards.caller, async (c) => {
    if (c.req.raw.method !== 'HEAD')
      throw new AppError('method-not-allowed', `ask GET /uploads/${c.req.param('id')} instead`, {
        headers: { Allow: ALLOW_ONE },
      })
    return answered(c, () => tellWhere(deps, c, c.req.param('id')))
  })
  // For clients that can send nothing but GET and POST (tus 1.0, "X-HTTP-Method-Override").
  routes.post(`${TUS_PATH}/:id`, deps.guards.caller, async (c) => {
    const meant = c.req.header('X-HTTP-Method-Override')?.toUpperCase()
    if (meant !== 'PATCH' && meant !== 'DELETE')
      throw new AppError('method-not-allowed', 'a POST here is a PATCH or DELETE, by X-HTTP-Method-Override', {
        headers: { Allow: ALLOW_ONE },
      })
    return answered(c, () => callTus(deps, c, meant))
  })
  for (const [path, allow] of ALLOW) {
    routes.options(path, async (c) => {
      const response = await answer(c)
      response.headers.set('Allow', allow)
      response.headers.set('Tus-Checksum-Algorithm', CHECKSUM_ALGORITHMS.join(','))
      return response
    })
  }
  return routes
}

/** The protocol wants its version on every answer, a problem of whatever kind too. */
const saysVersion: MiddlewareHandler<Env> = async (c, next) => {
  await next()
  c.res.headers.set('Tus-Resumable', VERSION)
}

const answered = async (c: Context<Env>, call: () => Promise<Response>): Promise<Response> => {
  const response = isOurVersion(c) ? await call() : refuseVersion()
  return response.ok ? response : await refusalResponse(response, c.get('requestId'))
}

const isOurVersion = (c: Context<Env>): boolean =>
  c.req.raw.method === 'OPTIONS' || c.req.header('Tus-Resumable') === VERSION

/** tus 1.0, "Tus-Version": 412, and which there are. */
const refuseVersion = (): Response =>
  new Response(`Tus-Resumable must be ${VERSION}`, { status: 412, headers: { 'Tus-Version': VERSION } })

/** HEAD, and what is known of the asset. */
const tellWhere = async (deps: TusRouteDeps, c: Context<Env>, id: string): Promise<Response> => {
  const session = await loadOwn(deps, c, id)
  // All bytes are in and there is no asset: the process that was to make it died, or the client did not wait.
  if ((await deps.sessions.pieces(session)).reduce((sum, { bytes }) => sum + bytes, 0) === session.bytes)
    await deps.completion.complete(session, deps.completeWaitMs, c.req.raw.signal)
  const response = await callTus(deps, c, 'HEAD')
  const { assetId, tusMetadata } = await loadOwn(deps, c, session.id)
  if (response.ok && tusMetadata !== null) response.headers.set('Upload-Metadata', tusMetadata)
  if (response.ok && assetId !== null) response.headers.set(ASSET_HEADER, assetId)
  return response
}

const callTus = async (deps: TusRouteDeps, c: Context<Env>, method: string): Promise<Response> => {
  refuseCoded(c, 'bytes')
  const type = c.req.header('Content-Type') ?? ''
  // The library's own refusal is 400, where tus 1.0 ("PATCH") has 415.
  if (method === 'PATCH' && type !== OCTETS)
    throw new AppError('unsupported-type', `send ${OCTETS}, not ${quote(type)}`)
  const { signal } = c.req.raw
  const checksum = c.req.header('Upload-Checksum')
  const check = checksum === undefined ? undefined : createChecksumCheck(checksum)
  const sends = method === 'PATCH' || method === 'POST'
  let fault: unknown
  const source = async function* () {
    try {
      yield* readBody(c, { idleMs: deps.idleMs, signal: NEVER, see: () => undefined, pieceBytes: 1 })
    } catch (error) {
      fault = error
      throw error
    }
  }
  // The library takes a query for a part of the id.
  const [url = ''] = c.req.url.split('?')
  const request = new Request(url, {
    method,
    headers: c.req.raw.headers,
    ...(sends && { body: ReadableStream.from(source()) as ReadableStream<Uint8Array>, duplex: 'half' as const }),
  })
  const response = await answerTus(
    deps,
    {
      publicUrl: c.get('publicUrl'),
      check,
      create: () => createSession(deps, c),
      load: (id) => loadOwn(deps, c, id),
      finish: async (session) => {
        const made = await deps.completion.complete(session, deps.completeWaitMs, signal)
        return made?.asset.id
      },
    },
    request,
  )
  // The library takes every fault of the body for an abort of its own, whatever it was.
  if (!response.ok && fault !== undefined) throw fault
  return response
}

/** A client that leaves ends its body, and what came before counts. */
const NEVER = new AbortController().signal

const loadOwn = async (deps: TusRouteDeps, c: Context<Env>, id: string): Promise<UploadSession> => {
  const session = await deps.sessions.load(parseUploadId(id), c.get('principal').ownerId)
  if (session.protocol !== 'tus')
    throw new AppError('conflict', `the upload ${id} is sent in chunks, to /uploads/${id}`)
  return session
}

const createSession = async ({ sessions, quota }: TusRouteDeps, c: Context<Env>): Promise<UploadSession> => {
  const bytes = Number(c.req.header('Upload-Length'))
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw new AppError('bad-request', `upload-length: 1 or more bytes, not ${bytes}`)
  const tusMetadata = c.req.header('Upload-Metadata') ?? null
  const { sha256, mediaType, details } = parseTusMetadata(tusMetadata ?? '')
  const parsed = DetailsText.safeParse(details)
  if (!parsed.success)
    throw new AppError(
      'bad-request',
      parsed.error.issues.map(({ path, message }) => `${path.map(String).join('.')}: ${message}`).join('; '),
    )
  return sessions.create(
    {
      ownerId: c.get('principal').ownerId,
      protocol: 'tus',
      bytes,
      chunkBytes: undefined,
      mediaType,
      declared: sha256 === undefined ? null : parseDigest(sha256),
      details: parsed.data,
      tusMetadata,
    },
    () => payUpload(quota, c, bytes),
  )
}
