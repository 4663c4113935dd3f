/** The bytes of one file to the server: whole, or in the chunks of a session that can go on after a cut. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Answer, Call, Client } from './client.ts'
import { sendCounted } from './counted.ts'
import { contentDigest, type Fingerprint } from './fingerprint.ts'
import { type Details, detailsMembers, detailsQuery, idempotencyKey } from './plan.ts'
import { type Persistence, persist } from './retry.ts'
import type { SessionFiles } from './session-file.ts'
import { openStore, type PartsPage, PartsSchema, type Reach } from './store.ts'

export interface Sending {
  readonly client: Client
  readonly sessions: SessionFiles
  /** Runs the work when there is a place among the requests that carry bytes. */
  readonly withPlace: <T>(work: () => Promise<T>) => Promise<T>
  readonly persistence: Persistence
  /** Of the server's store, where chunks go straight into that. */
  readonly reach: Reach
  /** Bytes that went; less than none for those of an attempt that failed. */
  readonly onSent: (bytes: number) => void
  /** Bytes that an earlier run has sent. */
  readonly onThere: (bytes: number) => void
}

export interface LocalFile {
  readonly path: string
  readonly print: Fingerprint
  readonly details: Details
}

/** The server has no sessions: 404 or 405 for the very first call. */
export const NO_SESSIONS = Symbol('no sessions')

/** An asset can be deleted and uploaded again so often under one key's lifetime of a day. */
const GENERATIONS = 8

/** @returns the last answer. @throws as `persist` does, and FileFault. */
export const sendWhole = async (
  { path, print, details }: LocalFile,
  { client, withPlace, persistence, onSent }: Sending,
): Promise<Answer> => {
  for (let generation = 0; ; generation += 1) {
    const call: Call = {
      method: 'POST',
      path: `/assets/upload${detailsQuery(details)}`,
      headers: {
        'Content-Type': 'application/octet-stream',
        'Content-Digest': `sha-256=:${Buffer.from(print.sha256, 'hex').toString('base64')}:`,
        'X-Filename': encodeURIComponent(details.filename.toWellFormed()),
        'Idempotency-Key': idempotencyKey(path, print, details, generation),
      },
      file: { path, offset: 0, bytes: print.bytes },
    }
    const answer = await persist(
      () => withPlace(() => sendCounted(client, call, onSent, persistence.signal)),
      persistence,
    )
    if (answer.status !== 410 || generation + 1 >= GENERATIONS) return answer
  }
}

const BegunSchema = z.object({
  upload_session_id: z.string(),
  chunk_size: z.int().positive(),
  ...PartsSchema.partial().shape,
})
const StateSchema = z.object({
  state: z.string(),
  chunk_size: z.int().positive(),
  missing_chunks: z.array(z.int().nonnegative()),
})

interface Session {
  readonly id: string
  readonly chunkBytes: number
  readonly missing: readonly number[]
  /** What the server signed at the beginning. Undefined: nothing. `'ask'`: it is not known whether it would. */
  readonly parts: PartsPage | 'ask' | undefined
}

/** A session that ended meanwhile is begun anew so often. */
const BEGINNINGS = 3

/** @returns the last answer, or that there are no sessions here. @throws as `persist` does, and FileFault. */
export const sendChunks = async (file: LocalFile, sending: Sending): Promise<Answer | typeof NO_SESSIONS> => {
  for (let beginning = 1; ; beginning += 1) {
    const session = (await findSession(file, sending)) ?? (await beginSession(file, sending))
    if (session === NO_SESSIONS) return NO_SESSIONS
    if ('status' in session) return session
    const answer = (await putMissing(file, session, sending)) ?? (await complete(file, session, sending))
    const over = answer.status === 404 || answer.status === 410
    // What may pass leaves the session to a later run; all else has ended it.
    if (answer.status < 500 && ![408, 409, 429].includes(answer.status))
      await sending.sessions.forget(file.print, file.details)
    if (!over || beginning >= BEGINNINGS) return answer
  }
}

const findSession = async ({ print, details }: LocalFile, sending: Sending): Promise<Session | undefined> => {
  const { client, sessions, persistence } = sending
  const id = await sessions.find(print, details)
  if (id === undefined) return undefined
  const path = `/uploads/${encodeURIComponent(id)}`
  const answer = await persist(() => client.call({ method: 'GET', path }, persistence.signal), persistence)
  const found = StateSchema.safeParse(answer.body)
  if (answer.status !== 200 || !found.success || !RESUMABLE.has(found.data.state)) {
    await sessions.forget(print, details)
    return undefined
  }
  const { chunk_size: chunkBytes, missing_chunks: missing } = found.data
  const there = print.bytes - missing.reduce((sum, n) => sum + chunkLength(print.bytes, chunkBytes, n), 0)
  sending.onThere(there)
  return { id, chunkBytes, missing, parts: 'ask' }
}

/** Of one that is done, completion answers with its asset. */
const RESUMABLE = new Set(['created', 'receiving', 'completing', 'done'])

const beginSession = async (
  { print, details }: LocalFile,
  { client, sessions, persistence }: Sending,
): Promise<Session | Answer | typeof NO_SESSIONS> => {
  const json = {
    file_name: details.filename,
    file_size: print.bytes,
    mime_type: 'application/octet-stream',
    sha256: print.sha256,
    ...detailsMembers(details),
  }
  const answer = await persist(
    () => client.call({ method: 'POST', path: '/uploads', json }, persistence.signal),
    persistence,
  )
  if (answer.status === 404 || answer.status === 405) return NO_SESSIONS
  const begun = BegunSchema.safeParse(answer.body)
  if (answer.status !== 201 || !begun.success) return answer
  const { upload_session_id: id, chunk_size: chunkBytes } = begun.data
  await sessions.keep(print, details, id)
  const missing = Array.from({ length: Math.ceil(print.bytes / chunkBytes) }, (_, n) => n)
  return { id, chunkBytes, missing, parts: PartsSchema.safeParse(begun.data).data }
}

/** @returns bytes of chunk `n`, counted from 0: all are equal but the last. */
export const chunkLength = (fileBytes: number, chunkBytes: number, n: number): number =>
  Math.max(0, Math.min(chunkBytes, fileBytes - n * chunkBytes))

/** Several at once, as places allow. @returns the first refusal; undefined when all are in. */
const putMissing = async (
  { path, print }: LocalFile,
  { id, chunkBytes, missing, parts }: Session,
  { client, withPlace, persistence, reach, onSent }: Sending,
): Promise<Answer | undefined> => {
  // A chunk that fails for good stops the others: the file has failed.
  const failing = new AbortController()
  const signal = AbortSignal.any([persistence.signal, failing.signal])
  let refusal: Answer | undefined
  const store = openStore({ client, reach, id, first: parts }, signal)
  const put = async (n: number): Promise<void> => {
    const part = { offset: n * chunkBytes, bytes: chunkLength(print.bytes, chunkBytes, n) }
    // Signed in its place: what waits for one might wait for longer than a signature holds.
    if (store.isOpen() && (await withPlace(() => store.put(n, { path, ...part }, onSent)))) return
    const answer = await persist(
      () =>
        withPlace(async () => {
          const headers = {
            'Content-Type': 'application/octet-stream',
            'Content-Digest': await contentDigest(path, part, signal),
          }
          const target = `/uploads/${encodeURIComponent(id)}/chunks/${n}`
          return sendCounted(client, { method: 'PUT', path: target, headers, file: { path, ...part } }, onSent, signal)
        }),
      { ...persistence, signal },
    )
    if (answer.status < 300) return
    refusal ??= answer
    failing.abort()
  }
  const queue = missing.values()
  const lane = async () => {
    for (const n of queue) await put(n)
  }
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(LANES, missing.length) }, lane))
  if (refusal) return refusal
  for (const result of lanes) if (result.status === 'rejected') throw result.reason
  return undefined
}

/** Chunks of one file under way or waiting for a place: what fills a line of 100 MB/s at 300 ms, four times 8 MiB. */
const LANES = 4

/** The server's own limit for a completion: ten minutes, and the time it takes at 5 MB/s. */
const COMPLETE_MS = 600_000
const COMPLETE_BYTES_PER_MS = 5_000

/** 202 says that it goes on. */
const complete = async ({ print }: LocalFile, { id }: Session, { client, persistence }: Sending): Promise<Answer> => {
  const path = `/uploads/${encodeURIComponent(id)}/complete`
  const until = performance.now() + COMPLETE_MS + print.bytes / COMPLETE_BYTES_PER_MS
  for (;;) {
    const answer = await persist(() => client.call({ method: 'POST', path }, persistence.signal), persistence)
    if (answer.status !== 202 || performance.now() > until) return answer
    await sleep(answer.retryAfterMs ?? 2_000, undefined, { signal: persistence.signal }).catch(() =>
      persistence.signal.throwIfAborted(),
    )
  }
}
