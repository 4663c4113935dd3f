/** A thread that hashes one file, so that gigabytes of SHA-256 are not the event loop's. Only `hash-file.ts` starts this file. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'

/** Of one read: large enough that its system call costs nothing beside the hashing. */
const READ_BYTES = 1024 * 1024

const file = openSync(String(workerData), 'r')
try {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  let bytes = 0
  for (let got = readSync(file, buffer); got > 0; got = readSync(file, buffer)) {
    hash.update(buffer.subarray(0, got))
    bytes += got
  }
  parentPort?.postMessage({ digest: hash.digest('hex'), bytes })
} finally {
  closeSync(file)
}
