/** Ports of what several processes share: leases and change notices. In-process driver here; Redis in a later issue. */
import type { Digest } from '../core/ids.ts'

/** Held exclusive right to a name. `token` grows with every grant of the name: a store can refuse a stale holder (fencing). */
export interface Lease extends AsyncDisposable {
  readonly token: number
}

export interface Locker {
  /** Waits in line for the name. The wait is bounded by `signal`. @throws the signal's reason when it aborts first. */
  acquire(name: string, signal: AbortSignal): Promise<Lease>
}

/** Says that what delivery knows of a digest is no longer true (visibility, deletion, first upload). */
export interface ChangeNotices {
  /** Returns once every subscriber of this process has been told, so that the caller's answer can promise it. */
  publish(digest: Digest): Promise<void>
  /** Returns the way to unsubscribe. */
  subscribe(listener: (digest: Digest) => void): () => void
}
