/** Change notices by LISTEN and NOTIFY, for origins that share a PostgreSQL and no Redis. */
import type { Digest } from '../core/ids.ts'
import { isDigest } from '../core/ids.ts'
import { type ChangeNotices, NOBODY_ASKED } from './coordination.ts'
import { openPostgresSession } from './postgres-session.ts'
import { createSubscribers } from './subscribers.ts'

const CHANNEL = 'oriel_changes'
/** A payload has less than 8,000 bytes (postgresql.org/docs/current/sql-notify.html): 100 × 65. */
const DIGESTS_A_NOTICE = 100

export interface NoticesStats {
  readonly sent: number
  readonly heard: number
  readonly losses: number
}

export type PostgresNotices = ChangeNotices & AsyncDisposable & { stats(): NoticesStats }

/** @param onFault told of a subscriber that threw. @throws Error when the server cannot be reached. */
export const openPostgresNotices = async (url: string, onFault: (error: unknown) => void): Promise<PostgresNotices> => {
  const { tell, subscribe } = createSubscribers()
  const stats = { sent: 0, heard: 0 }
  const tellSafely = (changed: Digest | 'all') => {
    try {
      tell(changed)
    } catch (error) {
      onFault(error)
    }
  }
  const session = await openPostgresSession({
    url,
    channels: [CHANNEL],
    onNotice: (_, payload) => {
      for (const digest of payload.split(',').filter(isDigest)) {
        stats.heard += 1
        tellSafely(digest)
      }
    },
    // Also when it is back: between the two, what was read could not be trusted, and what was missed nobody knows.
    onDown: () => tellSafely('all'),
    onUp: () => tellSafely('all'),
  })

  /** Notices that arrive while some are being sent share the next statement. */
  let next: { readonly digests: Set<Digest>; readonly sent: Promise<void> } | undefined
  let sending: Promise<unknown> = Promise.resolve()
  const send = (digest: Digest): Promise<void> => {
    if (!next) {
      const digests = new Set<Digest>()
      const sent = sending.then(async () => {
        next = undefined
        await session.query('select pg_notify($1, payload) from unnest($2::text[]) as payload', [
          CHANNEL,
          payloads([...digests]),
        ])
        stats.sent += digests.size
      })
      sending = sent.catch(() => undefined)
      next = { digests, sent }
    }
    next.digests.add(digest)
    return next.sent
  }

  return {
    publish: async (digest) => {
      // First here, so that the answer can promise it; also where the others cannot be told.
      const faults: unknown[] = []
      try {
        tell(digest)
      } catch (error) {
        faults.push(error)
      }
      await send(digest)
      if (faults.length > 0) throw faults[0]
      return NOBODY_ASKED
    },
    subscribe,
    live: session.up,
    stats: () => ({ ...stats, losses: session.stats.losses }),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  }
}

const payloads = (digests: readonly Digest[]): readonly string[] =>
  Array.from({ length: Math.ceil(digests.length / DIGESTS_A_NOTICE) }, (_, at) =>
    digests.slice(at * DIGESTS_A_NOTICE, (at + 1) * DIGESTS_A_NOTICE).join(','),
  )
