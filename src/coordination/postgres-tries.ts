/** Statements of the locker, many to a round trip: what arrives while one is under way shares the next. */
import type { PostgresSession } from './postgres-session.ts'

/** Keys in a statement: some 2 ms of the server's time, far below the session's limit for an answer. */
const MAX_BATCH = 500

interface Try {
  readonly key: string
  readonly resolve: (token: number | undefined) => void
  readonly reject: (error: unknown) => void
}

export interface Tries {
  /** The token of a lock that was free, undefined for one that is held. @throws AppError `busy` when the session is down. */
  tryLock(key: string): Promise<number | undefined>
  /** Soon, and before any try that comes later. If the session is lost first, the server frees the lock itself. */
  unlock(key: string): void
  /** Soon; may be lost with the session. */
  notify(channel: string, payload: string): void
}

export const openTries = (session: PostgresSession): Tries => {
  let unlocks: string[] = []
  let notices: (readonly [string, string])[] = []
  const waiting: Try[] = []
  let running = false

  const release = async (): Promise<void> => {
    const keys = unlocks
    const told = notices
    unlocks = []
    notices = []
    if (keys.length > 0) await session.query('select pg_advisory_unlock(key) from unnest($1::int8[]) as key', [keys])
    if (told.length === 0) return
    const columns = [told.map(([channel]) => channel), told.map(([, payload]) => payload)]
    await session.query('select pg_notify(c, p) from unnest($1::text[], $2::text[]) as told (c, p)', columns)
  }

  const take = async (): Promise<void> => {
    const batch = waiting.splice(0, MAX_BATCH)
    if (batch.length === 0) return
    try {
      const rows = await session.query<{ at: number; token: string }>(
        `select at::int4, nextval('lease_tokens') as token
         from unnest($1::int8[]) with ordinality as asked (key, at) where pg_try_advisory_lock(key)`,
        [batch.map(({ key }) => key)],
      )
      const tokens = new Map(rows.map(({ at, token }) => [at - 1, Number(token)]))
      for (const [at, { resolve }] of batch.entries()) resolve(tokens.get(at))
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  const run = async (): Promise<void> => {
    running = true
    while (unlocks.length + notices.length + waiting.length > 0) {
      // What a lost session did not release the server has.
      await release().catch(() => undefined)
      await take()
    }
    running = false
  }
  const wake = () => {
    if (!running) void run()
  }

  return {
    tryLock: (key) =>
      new Promise((resolve, reject) => {
        waiting.push({ key, resolve, reject })
        wake()
      }),
    unlock: (key) => {
      unlocks.push(key)
      wake()
    },
    notify: (channel, payload) => {
      notices.push([channel, payload])
      wake()
    },
  }
}
