/**
 * Leases in PostgreSQL, for origins that share a database: session-level advisory locks on one connection a process. They are
 * the database's own, so uploads and removals are kept apart wherever the rows can be written at all, with no second engine to trust;
 * and they end with the connection, so a process that dies leaves none behind.
 *
 * A process sends one waiter a name into the contest, its queue stays here. Locks are only ever tried (a lock waited for would
 * hold up the connection); a waiter says so on a channel, whoever holds the name answers when it gives it back, and a slow poll finds
 * what was missed. Tries and releases that arrive during a round trip share the next one, so one connection carries thousands a second.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease, Locker } from './coordination.ts'
import { createInProcessLocker } from './in-process.ts'
import { openPostgresSession } from './postgres-session.ts'
import { openTries } from './postgres-tries.ts'

const WANTED = 'oriel_lease_wanted'
const FREED = 'oriel_lease_freed'
/** Between two tries for a name that another process holds. A release is heard of in a millisecond; this is for what was not heard. */
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 500

export interface LockerStats {
  readonly held: number
  /** Waiting for another process; those behind them in this one are not counted. */
  readonly contending: number
  /** Connections lost, and with each every lease of this process. */
  readonly losses: number
}

export type PostgresLocker = Locker & AsyncDisposable & { stats(): LockerStats }

/** @throws Error when the server cannot be reached. */
export const openPostgresLocker = async (url: string): Promise<PostgresLocker> => {
  const turns = createInProcessLocker()
  const held = new Map<string, Set<AbortController>>()
  const wanted = new Set<string>()
  const waiting = new Map<string, Set<() => void>>()

  const session = await openPostgresSession({
    url,
    channels: [WANTED, FREED],
    onNotice: (channel, key) => {
      if (channel === FREED) for (const wake of waiting.get(key) ?? []) wake()
      else if (held.has(key)) wanted.add(key)
    },
    onDown: (cause) => {
      const lost = [...held.values()].flatMap((holders) => [...holders])
      held.clear()
      wanted.clear()
      for (const holder of lost) holder.abort(cause)
    },
  })
  const tries = openTries(session)

  const wait = async (key: string, pauseMs: number, signal: AbortSignal): Promise<void> => {
    const woken = new AbortController()
    const wake = () => woken.abort()
    add(waiting, key, wake)
    try {
      tries.notify(WANTED, key)
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: AbortSignal.any([signal, woken.signal]) })
    } catch {
      signal.throwIfAborted()
    } finally {
      remove(waiting, key, wake)
    }
  }

  const win = async (key: string, signal: AbortSignal): Promise<number> => {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted()
      const token = await tries.tryLock(key)
      if (token === undefined) {
        await wait(key, pause, signal)
        continue
      }
      if (!signal.aborted) return token
      tries.unlock(key)
    }
  }

  const lease = (key: string, token: number, turn: Lease): Lease => {
    const holder = new AbortController()
    add(held, key, holder)
    let open = true
    return {
      token,
      lost: holder.signal,
      [Symbol.asyncDispose]: async () => {
        if (!open) return
        open = false
        // A lease that is lost was freed by the server, and its name may be held anew on the next connection.
        if (!holder.signal.aborted) {
          remove(held, key, holder)
          tries.unlock(key)
          if (wanted.delete(key)) tries.notify(FREED, key)
        }
        await turn[Symbol.asyncDispose]()
      },
    }
  }

  return {
    acquire: async (name, signal) => {
      const turn = await turns.acquire(name, signal)
      try {
        const key = keyOf(name)
        return lease(key, await win(key, signal), turn)
      } catch (error) {
        await turn[Symbol.asyncDispose]()
        throw error
      }
    },
    stats: () => ({ held: held.size, contending: waiting.size, losses: session.stats.losses }),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  }
}

/** 64 of 256 bits: names that meet by chance would only wait for each other. As decimal text, which int8 is on the wire. */
const keyOf = (name: string): string => createHash('sha256').update(name).digest().readBigInt64BE().toString()

const add = <T>(map: Map<string, Set<T>>, key: string, value: T): void => {
  const values = map.get(key)
  if (values) values.add(value)
  else map.set(key, new Set([value]))
}

const remove = <T>(map: Map<string, Set<T>>, key: string, value: T): void => {
  const values = map.get(key)
  values?.delete(value)
  if (values?.size === 0) map.delete(key)
}
