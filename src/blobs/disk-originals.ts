/** Originals as files named by their SHA-256: `<folder>/originals/ab/<digest>`. Both are on the disk before anybody is told. */
import { createReadStream, existsSync } from 'node:fs'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { AppError } from '../core/errors.ts'
import { type Digest, isDigest } from '../core/ids.ts'
import { createDiskThreads, type DiskThreads, type DiskThreadsStats } from './disk-threads.ts'
import { asStoreError, emptyFolder, errorCode, leafOf, makeLeaves, statIfAny } from './folders.ts'
import { giveBackSlab, type ReceivedBytes, receiveBytes, writeHeld } from './staging.ts'
import type { ByteRange, OriginalLister, OriginalStore, Staged, StoredOriginal } from './store.ts'

export interface DiskOriginals extends OriginalStore, OriginalLister, AsyncDisposable {
  /** Moves a file of the same file system under its digest, which the caller has made sure of; durable when it resolves. */
  publish(path: string, digest: Digest): Promise<void>
  readonly stats: { readonly threads: DiskThreadsStats }
}

/**
 * Opens the store under `folder` (made if missing) and removes what an earlier process left half-received.
 * One process owns the folder. 256 leaf folders, all made and synced here, so that an upload never has to make one: that
 * would be two more fsyncs, and a second upload into a leaf just made could be acknowledged before the leaf is durable.
 * 100 M originals are 390,000 names a folder, which the hashed directories of ext4 and XFS do not mind.
 */
export const openDiskOriginals = async (folder: string): Promise<DiskOriginals> => {
  const root = join(folder, 'originals')
  await makeLeaves(root)
  const staging = await emptyFolder(folder, 'staging')
  const pathOf = (digest: Digest) => join(leafOf(root, digest), digest)

  const threads = createDiskThreads()
  const publish = (from: string, digest: Digest): Promise<void> =>
    threads.move(from, pathOf(digest)).catch(rethrowStoreError)

  return {
    stage: async (source, maxBytes, signal) =>
      asStaged(await receiveBytes(staging, source, maxBytes, signal, true), threads, pathOf),
    size: async (digest) => (await statIfAny(pathOf(digest)))?.size,
    open: async (digest) => {
      // One look into the kernel's name cache: 10 µs here, where asking a thread to look costs 200 before every render.
      if (!existsSync(pathOf(digest))) throw missing(digest)
      return { path: pathOf(digest), [Symbol.asyncDispose]: async () => undefined }
    },
    read: (digest, range, signal) => readFrom(pathOf(digest), digest, range, signal),
    remove: (digest) => rm(pathOf(digest), { force: true }),
    list: () => listOriginals(root),
    publish,
    stats: { threads: threads.stats },
    [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose](),
  }
}

const rethrowStoreError = (error: unknown): never => {
  throw asStoreError(error)
}

/**
 * What is held in memory is written only when it is published, in one job with its move: what is refused or known by then has never
 * been on the disk. Or earlier, for a renderer that has to open it.
 */
const asStaged = (received: ReceivedBytes, threads: DiskThreads, pathOf: (digest: Digest) => string): Staged => {
  const { path, digest, bytes, ends, slab } = received
  let written = slab ? undefined : Promise.resolve()
  let publishing: Promise<void> | undefined
  let published = false
  const publish = async (): Promise<void> => {
    const to = pathOf(digest)
    if (!slab || written) {
      await written
      await threads.move(path, to)
    } else {
      // What a failure leaves there is removed at the end.
      written = Promise.resolve()
      giveBackSlab(await threads.store({ path, slab, bytes, to }))
    }
    published = true
  }
  return {
    digest,
    bytes,
    ends,
    file: async () => {
      written ??= writeHeld(received, true)
      await written
      return path
    },
    // Once, whatever comes of it: a second try could move half a file.
    publish: () => (publishing ??= publish().catch(rethrowStoreError)),
    [Symbol.asyncDispose]: async () => {
      received.release()
      if (written && !published) await rm(path, { force: true }).catch(() => undefined)
    },
  }
}

const missing = (digest: Digest, cause?: unknown): AppError =>
  new AppError('internal', `the bytes of ${digest} are missing`, { cause })

/** Opened before it is answered, so that a missing file is an error of this call and not of a stream half-sent. */
const readFrom = async (
  path: string,
  digest: Digest,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Readable> => {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw errorCode(error) === 'ENOENT' ? missing(digest, error) : error
  })
  return createReadStream(path, { fd: handle, signal, ...(range && { start: range.start, end: range.end }) })
}

/** A folder's names at once, to be sorted: 20,000 of 64 bytes for 5 M originals, 40 MB for 100 M. */
async function* listOriginals(root: string): AsyncGenerator<StoredOriginal> {
  for (const leaf of (await readdir(root)).sort()) {
    for (const name of (await readdir(join(root, leaf))).sort()) {
      if (!isDigest(name)) continue
      const found = await statIfAny(join(root, leaf, name))
      if (found) yield { digest: name, bytes: found.size, storedAt: found.mtime }
    }
  }
}
