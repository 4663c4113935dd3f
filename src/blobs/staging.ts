/** One stream received into memory, or where it does not fit into one temporary file: bounded, hashed; or nothing at all. */
import { createHash, hash as hashOf, randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../core/errors.ts'
import type { FileEnds } from '../core/file-ends.ts'
import { type Digest, parseDigest } from '../core/ids.ts'
import { asStoreError } from './folders.ts'
import { createSlabs } from './slabs.ts'

/** Of a larger file: enough for whatever follows the pixels and says that a file is whole. */
const TAIL_BYTES = 64 * 1024

export interface StagedFile {
  readonly path: string
  readonly digest: Digest
  readonly bytes: number
  /** Valid until `release`. */
  readonly ends: FileEnds
  /** Lets the memory of `ends` be used by another upload. Once. */
  readonly release: () => void
}

export interface ReceivedBytes extends StagedFile {
  /** Has all bytes in front, and there is no file at `path` yet. Absent: the bytes are in the file. */
  readonly slab?: Buffer
}

/**
 * @param sync whether a file's bytes must survive a power cut when this resolves: not those that are on their way to another store.
 * @throws AppError `too-large` past `maxBytes`, `busy` on a full disk; the signal's reason when it aborts, even while the
 * source hangs; whatever the source throws. No file is left in any such case.
 */
export const receiveBytes = async (
  folder: string,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  signal: AbortSignal,
  sync: boolean,
): Promise<ReceivedBytes> => {
  const path = join(folder, randomUUID())
  const chunks = openSource(source, maxBytes, signal)
  const slab = slabs.take()
  const release = releaseOnce(slab)
  let made = false
  try {
    const { bytes, ended } = await chunks.fill(slab)
    if (ended) {
      const head = slab.subarray(0, bytes)
      const digest = parseDigest(hashOf('sha256', head))
      return { path, digest, bytes, ends: { head, tail: head, bytes }, release, slab }
    }
    made = true
    const written = await writeLarge(path, slab, chunks, sync)
    return { path, ...written, release }
  } catch (error) {
    chunks.leave()
    release()
    if (made) await rm(path, { force: true }).catch(() => undefined)
    throw asStoreError(error)
  }
}

/** The same, always into a file, which need not survive a power cut. @throws as `receiveBytes`. */
export const stageFile = async (
  folder: string,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  signal: AbortSignal,
): Promise<StagedFile> => {
  const received = await receiveBytes(folder, source, maxBytes, signal, false)
  try {
    if (received.slab) await writeHeld(received, false)
    return received
  } catch (error) {
    received.release()
    throw error
  }
}

/** Makes the file of what is held in memory; none is left on an error. @throws AppError `busy` on a full disk. */
export const writeHeld = async ({ path, ends }: ReceivedBytes, sync: boolean): Promise<void> => {
  try {
    await using file = await open(path, 'wx', 0o600)
    await writeFully(file, ends.head)
    if (sync) await file.datasync()
  } catch (error) {
    await rm(path, { force: true }).catch(() => undefined)
    throw asStoreError(error)
  }
}

/** Memory that came back from a thread. */
export const giveBackSlab = (slab: Buffer): void => slabs.giveBack(slab)

const slabs = createSlabs()

const releaseOnce = (slab: Buffer) => {
  let held: Buffer | undefined = slab
  return () => {
    if (held) slabs.giveBack(held)
    held = undefined
  }
}

interface Source {
  /** Fills the slab as far as the source goes. `ended`: it goes no further. */
  fill(slab: Buffer): Promise<{ readonly bytes: number; readonly ended: boolean }>
  /** Not waited for: a source that hangs would hang its own end too. */
  leave(): void
}

const openSource = (source: AsyncIterable<Uint8Array>, maxBytes: number, signal: AbortSignal): Source => {
  const chunks = source[Symbol.asyncIterator]()
  let left: Uint8Array = new Uint8Array()
  let total = 0
  const next = async (): Promise<boolean> => {
    const step = await abortable(chunks.next(), signal)
    if (step.done) return false
    left = step.value
    total += left.byteLength
    if (total > maxBytes) throw new AppError('too-large', `the upload is larger than ${maxBytes} bytes`)
    return true
  }
  return {
    fill: async (slab) => {
      for (let bytes = 0; ; ) {
        const part = left.subarray(0, slab.length - bytes)
        slab.set(part, bytes)
        bytes += part.byteLength
        left = left.subarray(part.byteLength)
        if (left.byteLength > 0) return { bytes, ended: false }
        if (!(await next())) return { bytes, ended: true }
      }
    },
    leave: () => void chunks.return?.().catch(() => undefined),
  }
}

/** The first slab stays as the head; a second goes round. */
const writeLarge = async (
  path: string,
  first: Buffer,
  rest: Source,
  sync: boolean,
): Promise<Pick<StagedFile, 'digest' | 'bytes' | 'ends'>> => {
  await using file = await open(path, 'wx', 0o600)
  const hash = createHash('sha256')
  const slab = slabs.take()
  let bytes = 0
  let tail: Buffer = Buffer.alloc(0)
  const add = async (part: Buffer): Promise<void> => {
    hash.update(part)
    await writeFully(file, part)
    bytes += part.length
    tail = Buffer.concat([tail, part.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES)
  }
  try {
    await add(first)
    for (let ended = false; !ended; ) {
      const filled = await rest.fill(slab)
      await add(slab.subarray(0, filled.bytes))
      ended = filled.ended
    }
  } finally {
    slabs.giveBack(slab)
  }
  if (sync) await file.datasync()
  return { digest: parseDigest(hash.digest('hex')), bytes, ends: { head: first, tail, bytes } }
}

/** write(2) may write less than it was given. */
const writeFully = async (file: FileHandle, bytes: Buffer): Promise<void> => {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
}

/** One listener for the length of one wait: a race against a long-lived promise would gather reactions for hours. */
export const abortable = <T>(step: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) {
      step.catch(() => undefined)
      reject(signal.reason)
      return
    }
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    step.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
