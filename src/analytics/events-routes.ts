/** `POST /events`: an edge's log, so that analysts see all traffic and not only what the edge asked us for. */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Locker } from '../coordination/coordination.ts'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { readBody } from '../http/body.ts'
import { createRouter, type Env, problems, type Router } from '../http/context.ts'
import { IdempotencyKey } from '../http/idempotency-key.ts'
import type { Guards } from '../http/principal.ts'
import type { Metadata } from '../metadata/database.ts'
import { findOnce, type OnceName, saveOnce } from '../metadata/once.ts'
import { MAX_LINES, readEdgeBatch } from './edge-batch.ts'
import type { AppendOutcome } from './frame-buffer.ts'

const MIB = 1024 * 1024
/** 100,000 lines of 500 bytes are 50 MB, and 5 MB compressed. */
const MAX_BODY_BYTES = 16 * MIB
/** Refused as soon as it is passed, so that a bomb costs no more. */
const MAX_EXPANDED_BYTES = 64 * MIB
const IDLE_MS = 30_000
/** At most so many at once: 2 × (16 + 64) MiB. */
const MAX_BATCHES = 2
/** As an upload's key: long enough for any sender's retries. */
const KEY_TTL_MS = 24 * 60 * 60 * 1000
const RETRY_SECONDS = 5

const TYPES = new Set(['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/x-jsonlines'])

const Answer = z
  .object({
    accepted: z.int(),
    rejected: z.int(),
    errors: z
      .array(z.object({ line: z.int(), reason: z.string() }))
      .openapi({ description: 'the first 20 of the rejected' }),
  })
  .openapi('EventsAnswer')

const eventsRoute = createRoute({
  method: 'post',
  path: '/events',
  tags: ['Analytics'],
  summary: 'Take an edge’s log',
  description:
    `NDJSON, one object a line as \`log_format oriel_events\` in nginx/edge.conf writes it; with \`Content-Encoding: gzip\` also the file as it is. ` +
    `At most ${MAX_LINES} lines. Good lines become events with the tier \`edge\` and their own time, bad ones are counted and named. A batch ` +
    'sent again with the same Idempotency-Key within a day is not counted again: 200 and the first answer.',
  security: [{ bearer: [] }],
  request: {
    headers: z.object({
      'idempotency-key': IdempotencyKey,
      'content-encoding': z.string().optional().openapi({ description: '`gzip`' }),
    }),
    body: { required: true, content: { 'application/x-ndjson': { schema: z.string() } } },
  },
  responses: {
    202: { description: 'on disk', content: { 'application/json': { schema: Answer } } },
    200: { description: 'a retry: counted before', content: { 'application/json': { schema: Answer } } },
    ...problems(400, 401, 403, 408, 413, 415, 422, 503),
  },
})

export interface EventsStats {
  running: number
  batches: number
  replayed: number
  accepted: number
  rejected: number
  agentsSkipped: number
}

export interface EventsDeps {
  readonly guards: Pick<Guards, 'admin'>
  readonly metadata: Metadata
  readonly locker: Locker
  readonly importFrames: (frames: Uint8Array, rows: number) => Promise<AppendOutcome>
}

type Answered = z.infer<typeof Answer>

/** To be mounted at the root; and its counters. */
export const createEventsRoutes = (deps: EventsDeps): { readonly routes: Router; readonly stats: EventsStats } => {
  const { guards, metadata, locker } = deps
  const stats: EventsStats = { running: 0, batches: 0, replayed: 0, accepted: 0, rejected: 0, agentsSkipped: 0 }
  const routes = createRouter()

  const take = async (body: Buffer): Promise<Answered> => {
    const { frames, agentsSkipped, ...answer } = await readEdgeBatch(body, Date.now())
    if (answer.accepted > 0) judge(await deps.importFrames(frames, answer.accepted))
    stats.batches += 1
    stats.accepted += answer.accepted
    stats.rejected += answer.rejected
    stats.agentsSkipped += agentsSkipped
    return { ...answer, errors: [...answer.errors] }
  }
  /**
   * Under the key's lock: events first, then the row that remembers them. A crash between the two, which is one commit long, lets
   * a retry count them again; the other order would lose them.
   */
  const takeOnce = async (name: OnceName, body: Buffer, signal: AbortSignal): Promise<[Answered, 200 | 202]> => {
    await using _turn = await locker.acquire(`events:${name.ownerId}:${name.key}`, signal)
    const fingerprint = createHash('sha256').update(body).digest('hex')
    const earlier = await findOnce(metadata.read, name, new Date())
    if (earlier && earlier.fingerprint !== fingerprint)
      throw new AppError('unprocessable', 'this Idempotency-Key was used for another batch')
    if (earlier) {
      stats.replayed += 1
      return [Answer.parse(JSON.parse(earlier.answer)), 200]
    }
    const answer = await take(body)
    const now = new Date()
    const record = {
      ...name,
      fingerprint,
      answer: JSON.stringify(answer),
      expiresAt: new Date(now.getTime() + KEY_TTL_MS),
    }
    await metadata.transaction((transaction) => saveOnce(transaction, record, now))
    return [answer, 202]
  }

  routes.openapi({ ...eventsRoute, middleware: guards.admin }, async (c) => {
    if (stats.running >= MAX_BATCHES)
      throw new AppError('busy', `${stats.running} batches are under way`, { retryAfterSeconds: RETRY_SECONDS })
    stats.running += 1
    try {
      const body = await readWhole(c)
      const key = c.req.valid('header')['idempotency-key']
      if (key === undefined) return c.json(await take(body), 202)
      const { ownerId } = c.get('principal')
      return c.json(...(await takeOnce({ scope: 'events', ownerId, key }, body, c.req.raw.signal)))
    } finally {
      stats.running -= 1
    }
  })
  return { routes, stats }
}

const judge = (outcome: AppendOutcome): void => {
  if (outcome === 'recorded') return
  const why = outcome === 'failed' ? 'the spool cannot be written' : 'the spool is full; the engine is behind'
  throw new AppError('busy', `${why}: nothing of this batch was kept`, { retryAfterSeconds: 60 })
}

/** The lines as text, whatever they were sent in. */
const readWhole = async (c: Context<Env>): Promise<Buffer> => {
  const type = c.req.header('Content-Type')?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (!TYPES.has(type)) throw new AppError('unsupported-type', `send application/x-ndjson, not ${quote(type)}`)
  const coding = c.req.header('Content-Encoding')?.toLowerCase() ?? 'identity'
  if (coding !== 'identity' && coding !== 'gzip')
    throw new AppError('unsupported-type', `Content-Encoding ${quote(coding)} is none of gzip, identity`)
  const chunks: Uint8Array[] = []
  let bytes = 0
  const see = (chunk: Uint8Array) => {
    bytes += chunk.byteLength
    if (bytes > MAX_BODY_BYTES) throw new AppError('too-large', `the batch is over ${MAX_BODY_BYTES} bytes`)
  }
  for await (const chunk of readBody(c, { idleMs: IDLE_MS, signal: c.req.raw.signal, see })) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  return coding === 'gzip' ? expand(body) : body
}

/** In libuv's threads; several members in a row, as a log that is appended to has them, are one text. */
const expand = async (body: Buffer): Promise<Buffer> => {
  try {
    return await promisify(gunzip)(body, { maxOutputLength: MAX_EXPANDED_BYTES })
  } catch (cause) {
    if (cause instanceof RangeError)
      throw new AppError('too-large', `the batch is over ${MAX_EXPANDED_BYTES} bytes when expanded`, { cause })
    throw new AppError('bad-request', 'the body is not whole gzip', { cause })
  }
}
