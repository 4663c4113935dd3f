/**
 * Uploads in progress on disk: one file for each session, `<folder>/sessions/<id>`, every piece written at its own place. A whole
 * session is then a whole file: to hash it and to give it its name is all that is left.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, link, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../core/errors.ts'
import { type Digest, isUploadId, parseDigest, type UploadId } from '../core/ids.ts'
import type { ChunkStore, Place, WrittenPiece } from './chunk-store.ts'
import { asStoreError, ensureFolder, errorCode, statIfAny, syncFolder } from './folders.ts'
import { hashFile } from './hash-file.ts'
import { abortable } from './staging.ts'
import type { Staged } from './store.ts'

/** Gathered before it is written: at 64 KiB each, as they come from a socket, a piece would take eight times the calls. */
const GATHER_BYTES = 512 * 1024
/** Sessions whose file is known to be made and named for good; a forgotten one costs two fsyncs again. */
const MAX_KNOWN = 10_000

export interface DiskChunkOptions {
  /** The data folder, the same as the originals'. One process owns it. */
  readonly folder: string
  /** Moves a file under its digest, durably (`disk-originals.ts`). */
  readonly publish: (from: string, digest: Digest) => Promise<void>
}

export const openDiskChunks = async ({ folder, publish }: DiskChunkOptions): Promise<ChunkStore> => {
  const root = join(folder, 'sessions')
  await ensureFolder(root)
  const pathOf = (id: UploadId) => join(root, id)
  const made = new Map<UploadId, Promise<void>>()

  /** Before the first piece is acknowledged, the name of its file has to be durable. */
  const make = (id: UploadId, totalBytes: number): Promise<void> => {
    const known = made.get(id)
    if (known) return known
    const making = makeSparse(pathOf(id), totalBytes, root)
    made.set(id, making)
    making.catch(() => made.delete(id))
    const [oldest] = made.keys()
    if (made.size > MAX_KNOWN && oldest !== undefined) made.delete(oldest)
    return making
  }

  return {
    write: async (id, place, source, signal) => {
      try {
        await make(id, place.totalBytes)
        await using file = await open(pathOf(id), 'r+')
        return await writeAt(file, place, source, signal)
      } catch (error) {
        throw asStoreError(error)
      }
    },
    assemble: async (id, _pieces, signal) => {
      const { digest, bytes } = await hashFile(pathOf(id), signal).catch((error: unknown) => {
        throw errorCode(error) === 'ENOENT' ? missing(id, error) : error
      })
      return asStaged(pathOf(id), join(folder, 'staging', randomUUID()), { digest, bytes }, publish)
    },
    remove: async (id) => {
      made.delete(id)
      await rm(pathOf(id), { force: true })
    },
    list: () => listSessions(root),
  }
}

const missing = (id: UploadId, cause: unknown): AppError =>
  new AppError('internal', `the bytes of the upload ${id} are missing`, { cause })

/** As long as it will be, and without a block until it is written: 50 GB that never come take no room. */
const makeSparse = async (path: string, bytes: number, root: string): Promise<void> => {
  await using file = await open(path, 'a', 0o600)
  if ((await file.stat()).size < bytes) await file.truncate(bytes)
  await file.sync()
  await syncFolder(root)
}

const writeAt = async (
  file: FileHandle,
  { offset, maxBytes }: Place,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<WrittenPiece> => {
  const chunks = source[Symbol.asyncIterator]()
  const hash = createHash('sha256')
  let [gathered, held, bytes]: [Uint8Array[], number, number] = [[], 0, 0]
  const flush = async (): Promise<void> => {
    await writeFully(file, gathered, offset + bytes - held)
    gathered = []
    held = 0
  }
  try {
    for (;;) {
      const step = await abortable(chunks.next(), signal)
      if (step.done) break
      bytes += step.value.byteLength
      if (bytes > maxBytes) throw new AppError('too-large', `the piece is larger than ${maxBytes} bytes`)
      held += step.value.byteLength
      hash.update(step.value)
      gathered.push(step.value)
      if (held >= GATHER_BYTES) await flush()
    }
  } catch (error) {
    // Not waited for: a source that hangs would hang its own end too.
    chunks.return?.().catch(() => undefined)
    throw error
  }
  if (held > 0) await flush()
  if (bytes > 0) await file.datasync()
  return { digest: parseDigest(hash.digest('hex')), bytes }
}

/** writev(2) may write less than it was given. */
const writeFully = async (file: FileHandle, parts: readonly Uint8Array[], position: number): Promise<void> => {
  const { bytesWritten } = await file.writev([...parts], position)
  const whole = parts.reduce((sum, part) => sum + part.byteLength, 0)
  if (bytesWritten === whole) return
  const rest = Buffer.concat(parts)
  for (let at = bytesWritten; at < whole; ) at += (await file.write(rest, at, whole - at, position + at)).bytesWritten
}

/**
 * A second name is published and the first one stays until the session ends: a process that dies between the two, or before
 * the rows are written, leaves a session that can be completed again. Nobody writes to the file any more: all its pieces are in.
 */
const asStaged = (
  path: string,
  second: string,
  file: WrittenPiece,
  publish: (from: string, digest: Digest) => Promise<void>,
): Staged => {
  let moved = false
  return {
    ...file,
    file: async () => path,
    publish: async () => {
      if (moved) return
      await link(path, second)
      await publish(second, file.digest)
      moved = true
    },
    [Symbol.asyncDispose]: async () => {
      // Also after publishing: rename(2) of one name over another of the same file does nothing, and leaves both.
      await rm(second, { force: true }).catch(() => undefined)
    },
  }
}

async function* listSessions(root: string) {
  // Names only, some 30 bytes each: sessions are bounded for each owner and end within days.
  for (const name of await readdir(root)) {
    if (!isUploadId(name)) continue
    const found = await statIfAny(join(root, name))
    if (found) yield { id: name, writtenAt: found.mtime }
  }
}
