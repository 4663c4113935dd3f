/** Many small writes as few transactions: what arrives while one is under way shares the next, and its one fsync. */
import { AppError } from '../core/errors.ts'

export interface GroupCommitStats {
  batches: number
  items: number
  /** Batches that failed whole and were tried again one by one. */
  split: number
}

export interface GroupCommit<T> {
  readonly stats: Readonly<GroupCommitStats>
  /** Resolves once the item is committed. @throws what its own transaction threw. */
  commit(item: T): Promise<void>
}

interface Waiting<T> {
  readonly item: T
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * `write` commits all of its items or none. A batch that fails is tried item by item, so that only the guilty one fails; not when the
 * database is `busy`: that is no item's fault, and 64 time limits one after the other would be minutes.
 */
export const createGroupCommit = <T>(
  write: (items: readonly T[]) => Promise<void>,
  maxBatch: number,
): GroupCommit<T> => {
  const stats: GroupCommitStats = { batches: 0, items: 0, split: 0 }
  const queue: Waiting<T>[] = []
  let running = false

  const settle = async (batch: readonly Waiting<T>[]): Promise<void> => {
    try {
      await write(batch.map(({ item }) => item))
      stats.batches += 1
      stats.items += batch.length
      for (const { resolve } of batch) resolve()
    } catch (error) {
      if (batch.length === 1 || (error instanceof AppError && error.kind === 'busy')) {
        for (const { reject } of batch) reject(error)
        return
      }
      stats.split += 1
      for (const one of batch) await settle([one])
    }
  }

  const run = async (): Promise<void> => {
    running = true
    while (queue.length > 0) await settle(queue.splice(0, maxBatch))
    running = false
  }

  return {
    stats,
    commit: (item) =>
      new Promise((resolve, reject) => {
        queue.push({ item, resolve, reject })
        if (!running) void run()
      }),
  }
}
