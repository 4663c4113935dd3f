/** From a whole session to an asset: once, however often and wherever it is asked for; by the same way as any upload (`commit.ts`). */
import { BulkheadRejectedError, bulkhead } from 'cockatiel'
import type { ChunkStore } from '../blobs/chunk-store.ts'
import type { Staged } from '../blobs/store.ts'
import type { Locker } from '../coordination/coordination.ts'
import type { Asset } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import type { UploadId } from '../core/ids.ts'
import { unlessAborted } from '../core/unless-aborted.ts'
import type { Piece, SentPart, UploadSession } from '../core/upload-session.ts'
import type { DetailsText } from '../http/asset-details.ts'
import { findAsset } from '../metadata/assets.ts'
import type { Metadata } from '../metadata/database.ts'
import { dropPieces, listPieces } from '../metadata/upload-pieces.ts'
import { findSession, type SessionOutcome, setSessionOutcome } from '../metadata/upload-sessions.ts'
import type { Committed, Upload } from './commit.ts'
import type { Parts } from './parts.ts'
import { advance, assertWhole, isFinalFailure, type SessionEvent } from './session.ts'
import type { Turns } from './turns.ts'

/** Each may hash or copy gigabytes: two keep a disk busy, four are fair to small ones beside large ones. */
const MAX_RUNNING = 4
/** Each that waits is a request or two, and some hundred bytes. */
const MAX_WAITING = 2_000
/** A completion's limit: ten minutes, and as long as it takes at 5 MB/s: 50 GB in three hours. Another instance may then try. */
const LIMIT_MS = 600_000
const BYTES_PER_MS = 5_000

export interface CompletionPorts {
  readonly metadata: Metadata
  readonly chunks: ChunkStore
  readonly locker: Locker
  readonly turns: Turns
  readonly parts: Pick<Parts, 'withSent'>
  readonly commit: (upload: Upload, signal: AbortSignal) => Promise<Committed>
  /** Told of bytes that could not be removed: the sweep tries again. */
  readonly onFault: (error: unknown) => void
}

export interface CompletionStats {
  running: number
  completed: number
  failed: number
}

export interface Completion {
  readonly stats: Readonly<CompletionStats>
  /**
   * Makes the asset, or finds it made. Goes on when the caller leaves.
   * @returns undefined when it takes longer than `waitMs`: ask again.
   * @throws AppError `conflict` naming what is missing, `gone`; what makes the bytes unfit, and then the session has failed for good:
   * `unprocessable` for other bytes than the declared hash, and what `commit` throws; `busy` and others that may pass.
   */
  complete(session: UploadSession, waitMs: number, signal: AbortSignal): Promise<Committed | undefined>
}

export const createCompletion = (ports: CompletionPorts): Completion => {
  const flights = new Map<UploadId, Promise<Committed>>()
  const places = bulkhead(MAX_RUNNING, MAX_WAITING)
  const stats: CompletionStats = { running: 0, completed: 0, failed: 0 }

  const run = async (session: UploadSession): Promise<Committed> => {
    stats.running += 1
    try {
      const committed = await completeAlone(ports, session.id, LIMIT_MS + Math.ceil(session.bytes / BYTES_PER_MS))
      if (committed.created) stats.completed += 1
      return committed
    } catch (error) {
      stats.failed += 1
      throw error
    } finally {
      stats.running -= 1
    }
  }

  const fly = (session: UploadSession): Promise<Committed> => {
    const flight = places
      .execute(() => run(session))
      .catch((error: unknown) => {
        throw error instanceof BulkheadRejectedError
          ? new AppError('busy', 'too many uploads are being completed', { cause: error, retryAfterSeconds: 5 })
          : error
      })
    flights.set(session.id, flight)
    const land = () => flights.delete(session.id)
    flight.then(land, land)
    return flight
  }

  return {
    stats,
    complete: async (session, waitMs, signal) => {
      const patience = AbortSignal.timeout(waitMs)
      try {
        return await unlessAborted(flights.get(session.id) ?? fly(session), AbortSignal.any([signal, patience]))
      } catch (error) {
        if (patience.aborted && error === patience.reason) return undefined
        throw error
      }
    },
  }
}

const completeAlone = async (ports: CompletionPorts, id: UploadId, limitMs: number): Promise<Committed> => {
  const { metadata, chunks } = ports
  const signal = AbortSignal.timeout(limitMs)
  await using _lease = await ports.locker.acquire(`upload:${id}`, signal)
  const session = await findSession(metadata.read, id)
  if (!session) throw new AppError('gone', `the upload session ${id} has ended`)
  if (session.state === 'done') return findMade(metadata, session)
  advance(session, 'complete', new Date())
  const chunksIn = await ports.parts.withSent(session, await listPieces(metadata.read, id))
  assertWhole(session, chunksIn)
  await settle(metadata, id, 'complete', {})
  try {
    const committed = await makeAsset(ports, session, chunksIn, signal)
    await settle(metadata, id, 'finish', { assetId: committed.asset.id, deduplicated: committed.deduplicated })
    await chunks.remove(id).catch(ports.onFault)
    return committed
  } catch (error) {
    if (!isFinalFailure(error)) {
      await settle(metadata, id, 'release', {})
      throw error
    }
    await settle(metadata, id, 'fail', { failure: { kind: error.kind, message: error.message } })
    await chunks.remove(id).catch(ports.onFault)
    throw error
  }
}

const makeAsset = async (
  { chunks, turns, commit }: CompletionPorts,
  { id, declared, ownerId, details }: UploadSession,
  chunksIn: readonly (Piece | SentPart)[],
  signal: AbortSignal,
): Promise<Committed> => {
  // Nobody may write to what is about to be named by its hash. All is acknowledged, so whoever still writes repeats.
  await turns.clear(id, signal)
  await using staged = await assemble(chunks, id, chunksIn, signal)
  if (declared !== null && staged.digest !== declared)
    throw new AppError('unprocessable', `the file's SHA-256 is ${staged.digest}, not ${declared} as was declared`)
  // No key of a client has a space. Whoever completes again after a crash in the middle finds the asset by it.
  const idempotencyKey = `upload ${id}`
  return await commit({ staged, ownerId, details: JSON.parse(details) as DetailsText, idempotencyKey }, signal)
}

const assemble = (
  chunks: ChunkStore,
  id: UploadId,
  chunksIn: readonly (Piece | SentPart)[],
  signal: AbortSignal,
): Promise<Staged> => {
  const pieces = chunksIn.filter((chunk) => 'digest' in chunk)
  if (pieces.length === chunksIn.length) return chunks.assemble(id, pieces, signal)
  if (chunks.direct) return chunks.direct.assemble(id, chunksIn, signal)
  throw new AppError('internal', `the store of the upload ${id} takes no chunks from clients`)
}

const findMade = async (metadata: Metadata, { assetId, deduplicated }: UploadSession): Promise<Committed> => {
  const asset: Asset | undefined = assetId === null ? undefined : await findAsset(metadata.read, assetId)
  if (!asset || asset.deletedAt) throw new AppError('gone', `the asset ${assetId} of this upload was deleted`)
  return { asset, deduplicated, created: false }
}

/** Pieces go with the last need of them. */
const settle = (
  metadata: Metadata,
  id: UploadId,
  event: SessionEvent,
  outcome: Omit<SessionOutcome, 'state'>,
): Promise<void> =>
  metadata.transaction(async (transaction) => {
    const current = await findSession(transaction, id)
    if (!current) return
    const state = advance(current, event, new Date())
    await setSessionOutcome(transaction, id, { ...outcome, state })
    if (state === 'done' || state === 'failed') await dropPieces(transaction, id)
  })
