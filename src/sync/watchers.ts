/** Who waits for changes of which owner: bounded among all and for each, woken together. */
import { AppError } from '../core/errors.ts'
import type { OwnerId } from '../core/ids.ts'

export interface WatcherLimits {
  /** Event streams at once. Default 1,000: 20 KB of buffers each. */
  readonly maxWatchers?: number
  /** Of one owner. Default 32: a person's devices, or a service's processes. */
  readonly maxWatchersOfOwner?: number
}

export interface Watcher extends Disposable {
  readonly ownerId: OwnerId
  /** Resolves at once when something has changed since it last resolved, else when something does, or after `limitMs`. */
  changed(limitMs: number): Promise<void>
  wake(): void
}

export interface Watchers {
  readonly stats: { watching: number; refused: number; woken: number }
  /** @throws AppError `rate-limited` when the owner has no place left, `busy` when nobody has. */
  add(ownerId: OwnerId): Watcher
  wake(ownerId: OwnerId): void
  wakeAll(): void
}

const RETRY_SECONDS = 10

/** @param onEmpty called when the last has left. */
export const createWatchers = (onEmpty: () => void, limits: WatcherLimits = {}): Watchers => {
  const { maxWatchers = 1_000, maxWatchersOfOwner = 32 } = limits
  const stats = { watching: 0, refused: 0, woken: 0 }
  const byOwner = new Map<OwnerId, Set<Watcher>>()

  const leave = (watcher: Watcher) => {
    const ofOwner = byOwner.get(watcher.ownerId)
    if (!ofOwner?.delete(watcher)) return
    if (ofOwner.size === 0) byOwner.delete(watcher.ownerId)
    stats.watching -= 1
    watcher.wake()
    if (stats.watching === 0) onEmpty()
  }
  const refuse = (kind: 'rate-limited' | 'busy', message: string): never => {
    stats.refused += 1
    throw new AppError(kind, message, { retryAfterSeconds: RETRY_SECONDS })
  }
  const wake = (ownerId: OwnerId) => {
    for (const watcher of byOwner.get(ownerId) ?? []) {
      stats.woken += 1
      watcher.wake()
    }
  }
  return {
    stats,
    add: (ownerId) => {
      const ofOwner = byOwner.get(ownerId) ?? new Set()
      if (ofOwner.size >= maxWatchersOfOwner) refuse('rate-limited', `${ofOwner.size} event streams of yours are open`)
      if (stats.watching >= maxWatchers) refuse('busy', `${stats.watching} event streams are open`)
      const watcher = createWatcher(ownerId, leave)
      byOwner.set(ownerId, ofOwner.add(watcher))
      stats.watching += 1
      return watcher
    },
    wake,
    wakeAll: () => {
      for (const ownerId of [...byOwner.keys()]) wake(ownerId)
    },
  }
}

const createWatcher = (ownerId: OwnerId, leave: (watcher: Watcher) => void): Watcher => {
  let dirty = false
  let settle: (() => void) | undefined
  const watcher: Watcher = {
    ownerId,
    changed: (limitMs) =>
      new Promise((resolve) => {
        const late = setTimeout(() => settle?.(), limitMs)
        settle = () => {
          clearTimeout(late)
          settle = undefined
          dirty = false
          resolve()
        }
        if (dirty) settle()
      }),
    wake: () => {
      dirty = true
      settle?.()
    },
    [Symbol.dispose]: () => leave(watcher),
  }
  return watcher
}
