/** A signer of a store that was away when the origin started: tried again while somebody wants parts, so that it takes no restart. */
import { AppError } from '../core/errors.ts'
import type { Signer } from './s3-signer.ts'

/** A try is six small requests at most. */
const RETRY_MS = 30_000

/**
 * @param attempt finds out what may be signed: undefined where that is nothing, for good. It rejects where that is still not known.
 * @param retryMs at least so long from one attempt to the next, in milliseconds. Default 30 s.
 * @returns a signer whose calls throw AppError until something may be signed: `busy` while it is not known, else `conflict`. They never
 * wait for an attempt: an upload begins without parts meanwhile.
 */
export const createLateSigner = (attempt: () => Promise<Signer | undefined>, retryMs = RETRY_MS): Signer => {
  let found: { readonly signer: Signer | undefined } | undefined
  let nextAt = performance.now() + retryMs

  const tryAgain = async (): Promise<void> => {
    nextAt = Number.POSITIVE_INFINITY
    try {
      found = { signer: await attempt() }
    } catch {
      // Told in the log when the origin started.
      nextAt = performance.now() + retryMs
    }
  }
  const find = (): Signer => {
    if (found?.signer) return found.signer
    if (found) throw new AppError('conflict', 'the store takes no chunks from clients: send them to this server')
    if (performance.now() >= nextAt) void tryAgain()
    throw new AppError(
      'busy',
      'whether the store takes chunks from clients is not known yet: send them to this server',
      {
        retryAfterSeconds: Math.ceil(retryMs / 1000),
      },
    )
  }
  return {
    sign: async (...what) => find().sign(...what),
    lasts: async (seconds) => find().lasts(seconds),
  }
}
