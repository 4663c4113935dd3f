/** One file, from its first byte read to its outcome. */
import { basename } from 'node:path'
import { type Client, NoAnswer } from './client.ts'
import { EXIT, Stop } from './exit.ts'
import { FileFault } from './file-part.ts'
import { type Fingerprint, fingerprint, possessionProof, stampOf } from './fingerprint.ts'
import {
  type Challenge,
  type Details,
  detailsMembers,
  failed,
  idempotencyKey,
  judgeUpload,
  type Known,
  KnownSchema,
  type Outcome,
  planFile,
} from './plan.ts'
import { type Persistence, persist, problemOf } from './retry.ts'
import { type LocalFile, NO_SESSIONS, type Sending, sendChunks, sendWhole } from './send.ts'

export interface UploadContext extends Omit<Sending, 'onSent' | 'onThere'> {
  readonly tags: readonly string[]
  readonly visibility: Details['visibility']
  readonly dryRun: boolean
  /** Files of this run by hash: the first with a hash does the work, those with the same bytes wait for it. */
  readonly twins: Map<string, { readonly path: string; readonly outcome: Promise<Outcome> }>
}

/** Told of the file's bytes as they go. */
export type OnBytes = Pick<Sending, 'onSent' | 'onThere'>

export interface Uploaded {
  readonly outcome: Outcome
  readonly sha256: string | undefined
}

/**
 * What concerns this file alone becomes its outcome. @throws Stop when no other file would fare better: the key is refused, or
 * the server has gone; the signal's reason.
 */
export const uploadFile = async (path: string, context: UploadContext, onBytes: OnBytes): Promise<Uploaded> => {
  const { signal } = context.persistence
  let print: Fingerprint | undefined
  try {
    const stamp = await stampOf(path)
    print = await fingerprint(path, signal)
    if (print.bytes === 0) return { outcome: failed('the file is empty'), sha256: print.sha256 }
    const outcome = await once(path, print, context, onBytes)
    // Then what the server says is of bytes that were neither here nor there.
    const changed = outcome.status === 'failed' && (await stampOf(path)) !== stamp
    return { outcome: changed ? failed('the file changed while it was sent') : outcome, sha256: print.sha256 }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FileFault) return { outcome: failed(error.message), sha256: print?.sha256 }
    if (error instanceof NoAnswer) {
      await assertReachable(context.client, signal, error)
      return { outcome: failed(`the server did not answer: ${error.message}`), sha256: print?.sha256 }
    }
    throw error
  }
}

/** Two files with the same bytes are one upload; should it fail, the next of them tries by itself. */
const once = async (path: string, print: Fingerprint, context: UploadContext, onBytes: OnBytes): Promise<Outcome> => {
  for (;;) {
    const twin = context.twins.get(print.sha256)
    if (!twin) break
    const outcome = await twin.outcome.catch((error: unknown) => failed(String(error)))
    context.persistence.signal.throwIfAborted()
    if (outcome.status !== 'failed') return { status: 'duplicate', of: twin.path }
    if (context.twins.get(print.sha256) === twin) context.twins.delete(print.sha256)
  }
  const outcome = settle(path, print, context, onBytes)
  context.twins.set(print.sha256, { path, outcome })
  return outcome
}

const settle = async (path: string, print: Fingerprint, context: UploadContext, onBytes: OnBytes): Promise<Outcome> => {
  const { tags, visibility, dryRun } = context
  const known = await precheck(context.client, print, context.persistence)
  if ('status' in known) return failed(problemOf(known))
  const plan = planFile(print.bytes, known, dryRun)
  if (plan.kind === 'settle') return plan.outcome
  const file: LocalFile = { path, print, details: { filename: basename(path), tags, visibility } }
  const sending: Sending = { ...context, ...onBytes }
  const claimed = plan.kind === 'claim' ? await claim(file, plan.challenge, sending) : undefined
  if (claimed) return claimed
  const way = plan.kind === 'claim' ? plan.otherwise : plan.kind
  if (way === 'chunks') {
    const answer = await sendChunks(file, sending)
    if (answer !== NO_SESSIONS) return judgeUpload(answer, print, true)
  }
  const answer = await sendWhole(file, sending)
  if (answer.status !== 413 || way === 'chunks') return judgeUpload(answer, print, true)
  // The limit of a single request may be lower than we think; that of a session is another.
  const chunked = await sendChunks(file, sending)
  return judgeUpload(chunked === NO_SESSIONS ? answer : chunked, print, true)
}

/** @returns what is known, or the answer that was none. @throws as `persist` does. */
export const precheck = async (
  client: Client,
  { sha256, bytes }: Fingerprint,
  persistence: Persistence,
): Promise<Known | { readonly status: number; readonly retryAfterMs: number | undefined; readonly body: unknown }> => {
  const json = { sha256, size: bytes }
  const answer = await persist(
    () => client.call({ method: 'POST', path: '/assets/precheck', json }, persistence.signal),
    persistence,
  )
  const known = KnownSchema.safeParse(answer.body)
  return answer.status === 200 && known.success ? known.data : answer
}

/** Undefined where the server does not take it: then the bytes are sent. With the key of the upload, so that both make one asset. */
const claim = async (
  { path, print, details }: LocalFile,
  { nonce, ranges }: Challenge,
  { client, persistence: { signal } }: Sending,
): Promise<Outcome | undefined> => {
  const parts = ranges?.map(({ start, end }) => ({ offset: start, bytes: end - start + 1 }))
  const json = {
    sha256: print.sha256,
    size: print.bytes,
    nonce,
    proof: await possessionProof(path, nonce, parts, signal),
    filename: details.filename,
    ...detailsMembers(details),
  }
  const headers = { 'Idempotency-Key': idempotencyKey(path, print, details, 0) }
  const answer = await client
    .call({ method: 'POST', path: '/assets/claim', json, headers }, signal)
    .catch((error: unknown) => {
      if (error instanceof NoAnswer) return undefined
      throw error
    })
  const outcome = answer && judgeUpload(answer, print, false)
  return outcome?.status === 'uploaded' ? outcome : undefined
}

/** After the last attempt: has the server gone, or does it only never answer this? @throws Stop `unreachable`. */
const assertReachable = async (client: Client, signal: AbortSignal, cause: NoAnswer): Promise<void> => {
  try {
    await client.call({ method: 'GET', path: '/healthz', idleMs: 5_000 }, signal)
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error
    throw new Stop(EXIT.unreachable, `${client.url} does not answer: ${cause.message}`, { cause })
  }
}

/** 0.25 + 0.5 s: at the very start a server that is not there is most likely a wrong address. */
const FIRST_ATTEMPTS = 3

/** Before anything is read: is there a server, and does it take the key? @throws Stop `unreachable`. */
export const assertWelcome = async (client: Client, signal: AbortSignal): Promise<void> => {
  let attempts = 0
  const json = { sha256: '0'.repeat(64), size: 0 }
  const call = async () => {
    attempts += 1
    try {
      return await client.call({ method: 'POST', path: '/assets/precheck', json }, signal)
    } catch (error) {
      if (error instanceof NoAnswer && attempts >= FIRST_ATTEMPTS)
        throw new Stop(EXIT.unreachable, `cannot reach ${client.url}: ${error.message}`, { cause: error })
      throw error
    }
  }
  const answer = await persist(call, { signal })
  if (answer.status !== 200)
    throw new Stop(EXIT.unreachable, `${client.url} does not answer like an Oriel: ${problemOf(answer)}`)
}
