/**
 * The one look at the rows that wakes who waits for changes. Changes of other instances are in the same rows, so a look every half
 * second finds them whatever tells this process; a change notice only brings the look forward. It costs one range of the primary
 * key, however many wait, and nothing while nobody does.
 */
import type { ChangeNotices } from '../coordination/coordination.ts'
import { AppError } from '../core/errors.ts'
import type { OwnerId } from '../core/ids.ts'
import { readHead, readOwnersOfChanges } from '../metadata/changes.ts'
import type { Metadata } from '../metadata/database.ts'
import { createWatchers, type Watcher, type WatcherLimits } from './watchers.ts'

export interface HubOptions extends WatcherLimits {
  /** Longest until a change of another instance is seen. Default 500 ms. */
  readonly pollMs?: number
}

export interface HubPorts {
  readonly metadata: Pick<Metadata, 'read'>
  readonly notices: Pick<ChangeNotices, 'subscribe'>
}

export interface Watch extends Pick<Watcher, 'changed'>, Disposable {
  /** Aborts, and wakes, when the process stops. */
  readonly closing: AbortSignal
}

export interface Hub extends Disposable {
  readonly stats: () => Readonly<Record<string, number>>
  /** Is woken by every change that is committed after it resolved. @throws AppError `busy` or `rate-limited` when there is no place. */
  watch(ownerId: OwnerId): Promise<Watch>
  /** Ends every watch, and gives out no other: the process stops. */
  end(): void
}

/** From a notice to the look: what is committed together is seen together. */
const NOTICE_MS = 20
const ROWS_AT_ONCE = 1_000

export const createHub = ({ metadata, notices }: HubPorts, { pollMs = 500, ...limits }: HubOptions = {}): Hub => {
  const looks = createLooks(metadata, pollMs, (ownerId) => watchers.wake(ownerId))
  const watchers = createWatchers(looks.stop, limits)
  const closing = new AbortController()
  const unsubscribe = notices.subscribe(looks.soon)
  const end = () => {
    closing.abort()
    watchers.wakeAll()
  }
  return {
    stats: () => ({ ...watchers.stats, ...looks.stats }),
    watch: async (ownerId) => {
      if (closing.signal.aborted) throw new AppError('busy', 'the server is stopping', { retryAfterSeconds: 1 })
      const watcher = watchers.add(ownerId)
      try {
        await looks.start()
      } catch (error) {
        watcher[Symbol.dispose]()
        throw error
      }
      return {
        changed: watcher.changed,
        closing: closing.signal,
        [Symbol.dispose]: () => watcher[Symbol.dispose](),
      }
    },
    end,
    [Symbol.dispose]: () => {
      unsubscribe()
      end()
      looks.stop()
    },
  }
}

/** Looks again and again from `start` to `stop`, each from where the last one ended. */
const createLooks = (metadata: HubPorts['metadata'], pollMs: number, onChange: (ownerId: OwnerId) => void) => {
  const stats = { looks: 0, faults: 0 }
  /** The newest change that was seen; undefined while nobody waits. */
  let seen: Promise<number> | undefined
  let timer: NodeJS.Timeout | undefined
  let dueAt = Number.POSITIVE_INFINITY

  const lookFrom = async (from: number): Promise<number> => {
    const rows = await readOwnersOfChanges(metadata.read, from, ROWS_AT_ONCE)
    for (const ownerId of new Set(rows.map((row) => row.ownerId))) onChange(ownerId)
    const last = rows.at(-1)?.seq ?? from
    return rows.length < ROWS_AT_ONCE ? last : lookFrom(last)
  }
  const look = async (): Promise<void> => {
    // A notice that comes from here on may be of what this look does not see.
    dueAt = Number.POSITIVE_INFINITY
    if (seen === undefined) return
    stats.looks += 1
    const from = seen
    const looking = from.then(lookFrom)
    seen = looking.catch(() => from)
    await looking.catch(() => (stats.faults += 1))
    lookIn(pollMs)
  }
  const lookIn = (ms: number) => {
    const at = performance.now() + ms
    if (seen === undefined || at >= dueAt) return
    clearTimeout(timer)
    dueAt = at
    timer = setTimeout(() => void look(), ms).unref()
  }
  const stop = () => {
    clearTimeout(timer)
    dueAt = Number.POSITIVE_INFINITY
    seen = undefined
  }
  return {
    stats,
    soon: () => lookIn(NOTICE_MS),
    /** Resolves when every later commit will be seen. */
    start: async () => {
      seen ??= readHead(metadata.read)
      try {
        await seen
      } catch (error) {
        seen = undefined
        throw error
      }
      lookIn(pollMs)
    },
    stop,
  }
}
