/** The SHA-256 of a file of any size in constant memory: small ones here, large ones in a thread of their own. */
import { hash as hashOf } from 'node:crypto'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { type Digest, parseDigest } from '../core/ids.ts'

/** 4 MiB are hashed in 3 ms; a thread takes 30 to start. */
const MAX_HERE = 4 * 1024 * 1024

export interface HashedFile {
  readonly digest: Digest
  readonly bytes: number
}

/** How many at once is the caller's to bound. @throws the signal's reason when it aborts; what reading throws. */
export const hashFile = async (path: string, signal: AbortSignal): Promise<HashedFile> => {
  signal.throwIfAborted()
  if ((await stat(path)).size <= MAX_HERE) {
    const bytes = await readFile(path)
    return { digest: parseDigest(hashOf('sha256', bytes)), bytes: bytes.length }
  }
  const thread = new Worker(new URL('./hash-thread.ts', import.meta.url), { workerData: path })
  try {
    const [found] = (await once(thread, 'message', { signal })) as [{ digest: string; bytes: number }]
    return { digest: parseDigest(found.digest), bytes: found.bytes }
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    await thread.terminate()
  }
}
