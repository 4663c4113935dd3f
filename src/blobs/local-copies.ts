/**
 * Local copies of originals that live elsewhere, for renderers, which read files. Renders of one original come in bursts, a size
 * each: it is downloaded once however many wait for it, and kept on a shelf with a budget after its use.
 */
import { rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import { BulkheadRejectedError, bulkhead } from 'cockatiel'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'
import { type Copy, type CopyShelfStats, copiesBusy, createCopyShelf } from './copy-shelf.ts'
import { abortable, type StagedFile, stageFile } from './staging.ts'
import type { LocalFile } from './store.ts'

/** Copies kept at most, whatever their size: their entries take some 20 MB. */
const MAX_FILES = 65_536
/** Downloads at once, and waiting: sixteen fill a gigabit link; each that waits is a render that waits. */
const MAX_DOWNLOADS = 16
const MAX_WAITING_DOWNLOADS = 1_024
/** A download that takes longer is given up: 100 MB at 1 MB/s. */
const DOWNLOAD_LIMIT_MS = 100_000

export interface LocalCopyOptions {
  /** Empty, on the file system of what is adopted, and nobody else's. */
  readonly folder: string
  /** Exceeded only by one file that is larger than all of it, while nothing else is in use. */
  readonly budgetBytes: number
  readonly maxFiles?: number
  /** The original's bytes from its store, and how many there will be. */
  readonly download: (
    digest: Digest,
    signal: AbortSignal,
  ) => Promise<{ readonly stream: Readable; readonly bytes: number }>
}

export interface LocalCopyStats extends CopyShelfStats {
  hits: number
  downloads: number
  /** Downloads whose bytes were not those of their name. */
  corrupt: number
}

export interface LocalCopies {
  readonly stats: Readonly<LocalCopyStats>
  /**
   * A file with the original's bytes, checked against the digest; there until disposed.
   * @throws AppError `busy` when files in use fill the budget or the disk is full, `internal` when the store has other bytes;
   * what `download` throws; the signal's reason when it aborts.
   */
  open(digest: Digest, signal: AbortSignal): Promise<LocalFile>
  /** Takes over a file whose bytes are the digest's, if there is no copy yet and room; else leaves it where it is. */
  adopt(file: StagedFile): Promise<void>
  /** Forgets the copy; its file goes when nobody reads it any more. */
  drop(digest: Digest): Promise<void>
}

interface Flight {
  readonly copy: Promise<Copy>
  readonly stop: AbortController
  waiting: number
}

export const createLocalCopies = (options: LocalCopyOptions): LocalCopies => {
  const { folder, download } = options
  const shelf = createCopyShelf(options.budgetBytes, options.maxFiles ?? MAX_FILES)
  const stats: LocalCopyStats = Object.assign(shelf.stats, { hits: 0, downloads: 0, corrupt: 0 })
  const flights = new Map<Digest, Flight>()
  const places = bulkhead(MAX_DOWNLOADS, MAX_WAITING_DOWNLOADS)

  const fetchCopy = async (digest: Digest, signal: AbortSignal): Promise<Copy> => {
    signal.throwIfAborted()
    const { stream, bytes } = await download(digest, signal)
    try {
      using room = shelf.reserve(bytes)
      stats.downloads += 1
      const file = await stageFile(folder, stream, bytes, signal)
      file.release()
      if (file.digest === digest) return room.take(digest, file.path)
      stats.corrupt += 1
      await rm(file.path, { force: true })
      throw new AppError('internal', `the store's bytes of ${digest} are other bytes: ${file.digest}`)
    } finally {
      stream.destroy()
    }
  }

  const forget = (digest: Digest, flight: Flight): void => {
    if (flights.get(digest) === flight) flights.delete(digest)
  }

  const fly = (digest: Digest): Flight => {
    const stop = new AbortController()
    const late = setTimeout(() => stop.abort(tooSlow(digest)), DOWNLOAD_LIMIT_MS)
    const copy = places.execute(() => fetchCopy(digest, stop.signal))
    const flight = { copy, stop, waiting: 0 }
    flights.set(digest, flight)
    const land = () => {
      clearTimeout(late)
      forget(digest, flight)
    }
    copy.then(land, land)
    return flight
  }

  /** It ends early only when all who wait for it have left. */
  const board = async (digest: Digest, signal: AbortSignal): Promise<Copy> => {
    const flight = flights.get(digest) ?? fly(digest)
    flight.waiting += 1
    try {
      return await abortable(flight.copy, signal)
    } catch (error) {
      throw error instanceof BulkheadRejectedError ? copiesBusy() : error
    } finally {
      flight.waiting -= 1
      if (flight.waiting === 0) {
        forget(digest, flight)
        flight.stop.abort(new Error('nobody waits for this original any more'))
      }
    }
  }

  return {
    stats,
    open: async (digest, signal) => {
      const near = shelf.find(digest)
      if (near) {
        stats.hits += 1
        return shelf.use(digest, near)
      }
      for (;;) {
        const copy = await board(digest, signal)
        // It may have had to make room in the moment between its arrival and ours.
        if (!copy.dropped) return shelf.use(digest, copy)
      }
    },
    adopt: async (file) => {
      if (shelf.find(file.digest) || flights.has(file.digest)) return
      using room = shelf.reserve(file.bytes)
      const path = join(folder, basename(file.path))
      await rename(file.path, path)
      room.take(file.digest, path)
    },
    drop: (digest) => shelf.drop(digest),
  }
}

const tooSlow = (digest: Digest): AppError =>
  new AppError('busy', `copying ${digest} took over ${DOWNLOAD_LIMIT_MS / 1000} s`, { retryAfterSeconds: 30 })
