/** Files kept within a budget of bytes and number: the longest unused go first, and none goes while it is in use. */
import { rm } from 'node:fs/promises'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'
import type { LocalFile } from './store.ts'

/** Until a render ends and gives room back. */
const FULL_RETRY_SECONDS = 2

export interface Copy {
  readonly path: string
  readonly bytes: number
  users: number
  /** Off the shelf: the last user removes the file. */
  dropped: boolean
}

export interface CopyShelfStats {
  /** Kept, in use, and room reserved. */
  files: number
  bytes: number
  /** Files being read now. */
  used: number
  evicted: number
  /** Told to retry, or not kept, because files in use fill the budget. */
  rejected: number
}

/** Room for a file that is on its way. Disposed without having been taken, it is given back. */
export interface Room extends Disposable {
  /** The file has arrived. What was on the shelf by that digest is dropped. */
  take(digest: Digest, path: string): Copy
}

export const copiesBusy = (): AppError =>
  new AppError('busy', 'too many originals are being rendered', { retryAfterSeconds: FULL_RETRY_SECONDS })

/** The budget is exceeded only by one file that is larger than all of it, while there is no other in use. */
export const createCopyShelf = (budgetBytes: number, maxFiles: number) => {
  const stats: CopyShelfStats = { files: 0, bytes: 0, used: 0, evicted: 0, rejected: 0 }
  /** In the order of last use, the oldest first. */
  const kept = new Map<Digest, Copy>()

  const count = (files: 1 | -1, bytes: number): void => {
    stats.files += files
    stats.bytes += files * bytes
  }
  const discard = async (copy: Copy): Promise<void> => {
    count(-1, copy.bytes)
    await rm(copy.path, { force: true })
  }
  const drop = async (digest: Digest): Promise<void> => {
    const copy = kept.get(digest)
    if (!copy) return
    kept.delete(digest)
    copy.dropped = true
    if (copy.users === 0) await discard(copy)
  }
  /** A file that cannot be removed has left the books; the folder is emptied at the next start. */
  const dropQuietly = (digest: Digest): void => void drop(digest).catch(() => undefined)

  const makeRoom = (bytes: number): void => {
    const isFull = () => stats.bytes + bytes > budgetBytes || stats.files + 1 > maxFiles
    for (const [digest, copy] of kept) {
      if (!isFull()) break
      if (copy.users > 0) continue
      stats.evicted += 1
      dropQuietly(digest)
    }
    if (!isFull() || stats.files === 0) return
    stats.rejected += 1
    throw copiesBusy()
  }

  return {
    stats,
    drop,
    find: (digest: Digest): Copy | undefined => kept.get(digest),
    /** @throws AppError `busy` when what is in use leaves no room. */
    reserve: (bytes: number): Room => {
      makeRoom(bytes)
      count(1, bytes)
      let taken = false
      return {
        take: (digest, path) => {
          dropQuietly(digest)
          const copy = { path, bytes, users: 0, dropped: false }
          kept.set(digest, copy)
          taken = true
          return copy
        },
        [Symbol.dispose]: () => {
          if (!taken) count(-1, bytes)
        },
      }
    },
    /** The file stays until the answer is disposed. The caller has made sure that it is on the shelf. */
    use: (digest: Digest, copy: Copy): LocalFile => {
      kept.delete(digest)
      kept.set(digest, copy)
      copy.users += 1
      stats.used += 1
      let left = false
      return {
        path: copy.path,
        [Symbol.asyncDispose]: async () => {
          if (left) return
          left = true
          copy.users -= 1
          stats.used -= 1
          if (copy.dropped && copy.users === 0) await discard(copy)
        },
      }
    },
  }
}
