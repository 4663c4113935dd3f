/** What the right proof is: reads the original, in memory within bounds, and computes the HMAC in libuv's threads. */
import { webcrypto } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OriginalStore } from '../blobs/store.ts'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'
import { type Challenge, WHOLE_BYTES } from './challenge.ts'

export interface ProofStats {
  running: number
  waiting: number
  refused: number
  bytes: number
}

export interface Prover {
  readonly stats: Readonly<ProofStats>
  /**
   * The proof in 64 lower-case hex digits. @param claim called when its turn has come, before anything is read.
   * @throws what `claim` throws; AppError `busy` when too many wait or the store takes too long, `internal` when the bytes are missing.
   */
  prove(digest: Digest, challenge: Challenge, claim: () => Promise<void>, signal: AbortSignal): Promise<string>
}

/** 2 × 16 MiB of memory. */
const AT_ONCE = 2
/** 16 of 16 MiB at the pace below are 4 s. */
const MAX_WAITING = 16
/** Of the store's and the disk's time, for all proofs of this process together. */
const BYTES_PER_SECOND = 128 * 1024 * 1024
const LIMIT_MS = 30_000

export const createProver = (originals: Pick<OriginalStore, 'read'>): Prover => {
  const stats: ProofStats = { running: 0, waiting: 0, refused: 0, bytes: 0 }
  const turns: (() => void)[] = []

  const enter = async (): Promise<Disposable> => {
    if (stats.running >= AT_ONCE) {
      if (stats.waiting >= MAX_WAITING) {
        stats.refused += 1
        throw new AppError('busy', `${stats.waiting} proofs are waiting`, { retryAfterSeconds: 2 })
      }
      stats.waiting += 1
      await new Promise<void>((resolve) => turns.push(resolve))
      stats.waiting -= 1
    } else stats.running += 1
    return {
      [Symbol.dispose]: () => {
        const next = turns.shift()
        // The place is handed over: a newcomer cannot slip in before who waits.
        if (next) next()
        else stats.running -= 1
      },
    }
  }
  return {
    stats,
    prove: async (digest, { nonce, ranges }, claim, signal) => {
      using _turn = await enter()
      signal.throwIfAborted()
      await claim()
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)])
      const startedAt = performance.now()
      const bytes = await readAll(originals, digest, ranges ?? [undefined], bounded).catch((cause: unknown) => {
        if (!bounded.aborted || signal.aborted) throw cause
        throw new AppError('busy', 'the original could not be read in time', { cause, retryAfterSeconds: 5 })
      })
      stats.bytes += bytes.length
      const proof = await hmac(nonce, bytes)
      const paceMs = (bytes.length / BYTES_PER_SECOND) * AT_ONCE * 1000 - (performance.now() - startedAt)
      if (paceMs > 0) await sleep(paceMs)
      return proof
    },
  }
}

const readAll = async (
  originals: Pick<OriginalStore, 'read'>,
  digest: Digest,
  ranges: readonly Parameters<OriginalStore['read']>[1][],
  signal: AbortSignal,
): Promise<Buffer<ArrayBuffer>> => {
  const chunks: Buffer[] = []
  let bytes = 0
  for (const range of ranges)
    for await (const chunk of await originals.read(digest, range, signal)) {
      chunks.push(chunk as Buffer)
      bytes += (chunk as Buffer).length
      // More than its row says: a fault of the store, which must not fill the memory.
      if (bytes > WHOLE_BYTES) throw new AppError('internal', `the original ${digest} is larger than its row says`)
    }
  return Buffer.concat(chunks, bytes)
}

const hmac = async (key: string, bytes: Buffer<ArrayBuffer>): Promise<string> => {
  const { subtle } = webcrypto
  const imported = await subtle.importKey('raw', Buffer.from(key), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return Buffer.from(await subtle.sign('HMAC', imported, bytes)).toString('hex')
}
