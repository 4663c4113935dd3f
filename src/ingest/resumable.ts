/** Resumable uploads put together: both protocols over the same sessions, their bounds, and the sweep. */
import type { ChunkStore } from '../blobs/chunk-store.ts'
import type { Locker } from '../coordination/coordination.ts'
import type { DescribeAsset } from '../http/asset-document.ts'
import type { Router } from '../http/context.ts'
import type { Guards } from '../http/principal.ts'
import type { Quota } from '../http/quota.ts'
import type { Metadata } from '../metadata/database.ts'
import { createAdmission } from './admission.ts'
import { type CompletionPorts, createCompletion } from './completion.ts'
import { createParts } from './parts.ts'
import { createPieceRows } from './piece-rows.ts'
import { createPutChunk } from './put-chunk.ts'
import { createSessionSweep, type SessionSweep } from './session-sweep.ts'
import { createSessions } from './sessions.ts'
import { createTurns } from './turns.ts'
import { createTusLocks } from './tus-lock.ts'
import { createTusRoutes } from './tus-routes.ts'
import { createUploadRoutes } from './upload-routes.ts'

const GIB = 1024 * 1024 * 1024
const DAY_MS = 24 * 60 * 60 * 1000

export interface ResumableDeps {
  readonly metadata: Metadata
  readonly chunks: ChunkStore
  readonly locker: Locker
  readonly commit: CompletionPorts['commit']
  readonly guards: Guards
  readonly describe: DescribeAsset
  readonly quota: Quota
  /** Told of what failed behind everybody's back. */
  readonly onFault: (error: unknown) => void
}

export interface ResumableOptions {
  /** Largest file. Default 50 GiB. */
  readonly maxBytes?: number
  /** Open sessions of one owner. Default 2,000: twice what a bulk import has open at once. */
  readonly maxOpen?: number
  /** From creation to expiry. Default a day. */
  readonly lifeMs?: number
  /** Longest wait for a client's next bytes. Default 30 s. */
  readonly idleMs?: number
  /** Chunks being received at once. Default 256. */
  readonly maxChunks?: number
  /**
   * Their bytes. Default 512 MiB: 64 chunks of 8 MiB. An S3 store holds each in memory until it is sent on; a disk store half a MiB of each.
   */
  readonly maxBytesInFlight?: number
  /** How long `complete` waits for the asset. Default 25 s: proxies commonly wait 30 or 60. */
  readonly completeWaitMs?: number
  readonly sweepIntervalMs?: number
  readonly scanIntervalMs?: number
}

export interface Resumable {
  readonly routes: readonly Router[]
  /** To be started and disposed of by the caller. */
  readonly sweep: SessionSweep
  readonly stats: () => Readonly<Record<string, unknown>>
}

export const createResumable = (deps: ResumableDeps, options: ResumableOptions = {}): Resumable => {
  const { idleMs = 30_000, completeWaitMs = 25_000 } = options
  const admission = createAdmission({
    maxUploads: options.maxChunks ?? 256,
    maxBytesInFlight: options.maxBytesInFlight ?? GIB / 2,
  })
  const turns = createTurns()
  const parts = createParts(deps.chunks.direct)
  const rows = createPieceRows(deps.metadata)
  const sessions = createSessions(
    { ...deps, turns, parts },
    { maxBytes: options.maxBytes ?? 50 * GIB, maxOpen: options.maxOpen ?? 2_000, lifeMs: options.lifeMs ?? DAY_MS },
  )
  const receiving = createPutChunk({ ...deps, turns, rows, admission })
  const completion = createCompletion({ ...deps, turns, parts })
  const locks = createTusLocks(deps)
  const sweep = createSessionSweep(deps, {
    sweepIntervalMs: options.sweepIntervalMs ?? 60_000,
    scanIntervalMs: options.scanIntervalMs ?? 60 * 60_000,
  })
  const shared = { ...deps, sessions, completion, idleMs, completeWaitMs }
  return {
    routes: [
      createUploadRoutes({ ...shared, parts, putChunk: receiving.putChunk }),
      createTusRoutes({ ...shared, rows, admission, locks }),
    ],
    sweep,
    stats: () => ({
      ...sessions.stats,
      ...receiving.stats,
      superseded: turns.stats.superseded,
      chunksRunning: admission.stats.running,
      bytesInFlight: admission.stats.bytesInFlight,
      chunksRefused: admission.stats.refused,
      chunksRefusedOwners: admission.stats.refusedOwners,
      partsSigned: parts.stats.signed,
      uploadsUnsigned: parts.stats.unsigned,
      completing: completion.stats.running,
      completed: completion.stats.completed,
      completionsFailed: completion.stats.failed,
      tusLocksHeld: locks.stats.held,
      tusLocksAsked: locks.stats.asked,
      sweep: sweep.stats,
    }),
  }
}
