/** One stream received into one temporary file: bounded, hashed while it passes; or nothing at all. */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../core/errors.ts'
import { type Digest, parseDigest } from '../core/ids.ts'
import { asStoreError } from './folders.ts'

/** Written at once: a 100 KB photo is one write(2) instead of two, and an upload holds no more than this in memory. */
const WRITE_BYTES = 256 * 1024

export interface StagedFile {
  readonly path: string
  readonly digest: Digest
  readonly bytes: number
}

/**
 * @param sync whether the bytes must survive a power cut when this resolves: not those that are on their way to another store.
 * @throws AppError `too-large` past `maxBytes`, `busy` on a full disk; the signal's reason when it aborts, even while the
 * source hangs; whatever the source throws. The file is gone in every such case.
 */
export const stageFile = async (
  folder: string,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  signal: AbortSignal,
  { sync }: { readonly sync: boolean },
): Promise<StagedFile> => {
  const path = join(folder, randomUUID())
  const hash = createHash('sha256')
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => Promise.reject(asStoreError(error)))
  try {
    const bytes = await writeAll(file, source, maxBytes, signal, (chunk) => hash.update(chunk))
    if (sync) await file.datasync()
    await file.close()
    return { path, digest: parseDigest(hash.digest('hex')), bytes }
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(path, { force: true }).catch(() => undefined)
    throw asStoreError(error)
  }
}

const writeAll = async (
  file: FileHandle,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  signal: AbortSignal,
  see: (chunk: Uint8Array) => void,
): Promise<number> => {
  const chunks = source[Symbol.asyncIterator]()
  let held: Uint8Array[] = []
  let heldBytes = 0
  let bytes = 0
  const flush = async () => {
    if (heldBytes > 0) await writeFully(file, held, heldBytes)
    held = []
    heldBytes = 0
  }
  try {
    for (;;) {
      const step = await abortable(chunks.next(), signal)
      if (step.done) break
      bytes += step.value.byteLength
      if (bytes > maxBytes) throw new AppError('too-large', `the upload is larger than ${maxBytes} bytes`)
      see(step.value)
      held.push(step.value)
      heldBytes += step.value.byteLength
      if (heldBytes >= WRITE_BYTES) await flush()
    }
    await flush()
    return bytes
  } catch (error) {
    // Not awaited: a source that hangs would hang its own end too.
    chunks.return?.().catch(() => undefined)
    throw error
  }
}

/** writev(2) may write less than it was given; the rest goes by plain writes, which loop until done. */
const writeFully = async (file: FileHandle, chunks: readonly Uint8Array[], total: number): Promise<void> => {
  const { bytesWritten } = await file.writev(chunks)
  if (bytesWritten < total) await file.writeFile(Buffer.concat(chunks).subarray(bytesWritten))
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
