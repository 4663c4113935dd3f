/**
 * Edges that are told over HTTP: `PUT {address}/{hash}` purges and `DELETE` takes that back, with the key in a header, as
 * `nginx/` and `edge/varnish.vcl` understand it.
 */
import type { Digest } from '../core/ids.ts'
import type { Lease, Locker, TierOutcome } from './coordination.ts'
import type { EdgePurger } from './edge-purger.ts'
import { NO_TIERS, type PurgeReceipt } from './purge-receipt.ts'
import { createPurgeRetries } from './purge-retries.ts'

/** An edge writes one empty file or one line in memory; one that takes longer is down for the caller, who waits for it. */
const LIMIT_MS = 2_000
const DAY_MS = 24 * 60 * 60 * 1000

export interface HttpEdges {
  /** Such as `http://edge1:8080/purge`, without a slash at the end. */
  readonly addresses: readonly string[]
  /** Sent as `X-Oriel-Purge-Key`. */
  readonly key: string
}

/** Which hashes the edges were told to forget, kept for as long as they may remember it. */
export interface PurgeMarks {
  has(digest: Digest): Promise<boolean>
  add(digest: Digest): Promise<void>
  remove(digest: Digest): Promise<void>
}

export interface EdgePurgerPorts {
  /** Whether no stranger may see the hash, as of now. */
  readonly isHidden: (digest: Digest) => Promise<boolean>
  /** As every origin sees them. */
  readonly marks: PurgeMarks
  /** One for all origins that share the rows. */
  readonly locker: Locker
  /** Told of each failure of an edge, by its address. */
  readonly onFault: (address: string, outcome: TierOutcome, error: unknown) => void
}

export interface EdgePurgerStats {
  readonly confirmed: number
  readonly failed: number
  readonly pending: number
  readonly dropped: number
  readonly expired: number
}

export interface HttpEdgePurger extends EdgePurger, Disposable {
  readonly stats: () => EdgePurgerStats
}

/**
 * What is sent is never what a caller believes but what is so when it is sent, and one at a time for each hash, on whichever
 * origin: else a "show" that was slow could undo a later purge.
 */
export const createHttpEdgePurger = (
  { addresses, key }: HttpEdges,
  { isHidden, marks, locker, onFault }: EdgePurgerPorts,
): HttpEdgePurger => {
  const counts = { confirmed: 0, failed: 0 }
  const send = createSender(key, counts, onFault)

  /**
   * The mark is set before it is looked whether the picture is hidden, and who shows one looks for the mark after its commit: so
   * one of the two sees the other. Not `sure`, without the lease or without knowing: then only a purge is safe, which costs speed,
   * never secrecy.
   */
  const whileHeld = async <T>(digest: Digest, act: (hidden: boolean, sure: boolean) => Promise<T>): Promise<T> => {
    const lease: Lease | undefined = await locker
      .acquire(`edge:${digest}`, AbortSignal.timeout(LIMIT_MS))
      .catch(() => undefined)
    await using _lease = lease
    const marked = await marks.add(digest).then(
      () => true,
      () => false,
    )
    const hidden = await isHidden(digest).catch(() => undefined)
    return act(hidden ?? true, lease !== undefined && marked && hidden !== undefined)
  }

  const edges = addresses.map((address) => ({
    address,
    retries: createPurgeRetries(
      (digest) =>
        whileHeld(digest, async (hidden, sure) => {
          if (!hidden && !sure) return false
          return (await send(address, digest, hidden)) === 'confirmed' && sure
        }),
      (digest, ageMs) =>
        onFault(
          address,
          'unreachable',
          new Error(`${digest} is given up: not confirmed for ${Math.floor(ageMs / DAY_MS)} days`),
        ),
    ),
  }))

  const tell = async ({ address, retries }: (typeof edges)[number], digest: Digest, hidden: boolean, sure: boolean) => {
    // Known to be down: nobody waits for it again, the hash goes to the end of the line.
    const outcome = retries.pending > 0 ? 'unreachable' : await send(address, digest, hidden)
    if (outcome !== 'confirmed' || !sure) retries.add(digest)
    return [address, outcome] as const
  }

  const settle = (digest: Digest): Promise<PurgeReceipt> =>
    whileHeld(digest, async (hidden, sure) => {
      if (!hidden && !sure) {
        for (const { retries } of edges) retries.add(digest)
        return NO_TIERS
      }
      const told = await Promise.all(edges.map((edge) => tell(edge, digest, hidden, sure)))
      // A mark that stays although the edges know costs one more word to them at the next change.
      if (!hidden && told.every(([, outcome]) => outcome === 'confirmed'))
        await marks.remove(digest).catch(() => undefined)
      return { tiers: Object.fromEntries(told) }
    })

  return {
    follow: async (digest, change) => {
      const marked = await marks.has(digest).catch(() => undefined)
      // The way of nearly every upload.
      if (change === 'added' && !marked) return NO_TIERS
      if (marked === false && (await isHidden(digest).catch(() => undefined)) === false) return NO_TIERS
      return settle(digest)
    },
    stats: () => ({
      ...counts,
      pending: edges.reduce((sum, { retries }) => sum + retries.pending, 0),
      dropped: edges.reduce((sum, { retries }) => sum + retries.dropped, 0),
      expired: edges.reduce((sum, { retries }) => sum + retries.expired, 0),
    }),
    [Symbol.dispose]: () => {
      for (const { retries } of edges) retries[Symbol.dispose]()
    },
  }
}

const createSender =
  (key: string, counts: { confirmed: number; failed: number }, onFault: EdgePurgerPorts['onFault']) =>
  async (address: string, digest: Digest, hidden: boolean): Promise<TierOutcome> => {
    try {
      const response = await fetch(`${address}/${digest}`, {
        method: hidden ? 'PUT' : 'DELETE',
        headers: { 'X-Oriel-Purge-Key': key },
        // nginx's DAV wants a body to make a file of.
        ...(hidden && { body: digest }),
        redirect: 'error',
        signal: AbortSignal.timeout(LIMIT_MS),
      })
      await response.body?.cancel()
      // What was not there is gone.
      const done = response.ok || (!hidden && response.status === 404)
      counts[done ? 'confirmed' : 'failed'] += 1
      if (!done) onFault(address, 'refused', new Error(`it answered ${response.status}`))
      return done ? 'confirmed' : 'refused'
    } catch (error) {
      counts.failed += 1
      onFault(address, 'unreachable', error)
      return 'unreachable'
    }
  }
