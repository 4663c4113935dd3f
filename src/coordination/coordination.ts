/** Ports of what several processes share: leases and change notices. */
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'

/** Held exclusive right to a name. `token` grows with every grant of the name: a store can refuse a stale holder (fencing). */
export interface Lease extends AsyncDisposable {
  readonly token: number
  /**
   * Aborts when the right is known to be lost, such as with the connection that held it; another may then have it. It may have been
   * lost before that, so what must not happen twice needs a guard of its own as well (`metadata/removals.ts`). In process: never.
   */
  readonly lost: AbortSignal
}

/** Before each step that others must not see half of. @throws AppError `busy` when the lease is lost. */
export const assertHeld = ({ lost }: Lease): void => {
  if (lost.aborted)
    throw new AppError('busy', 'the lock was lost in the middle of the work', {
      cause: lost.reason,
      retryAfterSeconds: 1,
    })
}

export interface Locker {
  /**
   * Waits in line for the name. The wait is bounded by `signal`.
   * @throws the signal's reason when it aborts first; AppError `busy` when what keeps the leases is away.
   */
  acquire(name: string, signal: AbortSignal): Promise<Lease>
}

/** Says that what delivery knows of a digest is no longer true (visibility, deletion, first upload). */
export interface ChangeNotices {
  /**
   * Returns once every subscriber of this process has been told, so that the caller's answer can promise it, and the notice is on its
   * way to the other processes. @throws AppError `busy` when it could not be sent to them.
   */
  publish(digest: Digest): Promise<void>
  /**
   * Tells `listener` of every change from now on. `'all'` means "forget everything you remember": notices may have been missed. It is
   * sent when the subscription is lost and again when it is back. Returns the way to unsubscribe.
   */
  subscribe(listener: (digest: Digest | 'all') => void): () => void
  /** False while the subscription is down: what is remembered meanwhile must not be relied on. In process: always true. */
  live(): boolean
}
