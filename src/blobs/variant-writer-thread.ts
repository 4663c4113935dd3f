/** The thread that writes variants: synchronous calls, which are the cheapest there are, where nobody waits for the loop. */
import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, writevSync } from 'node:fs'
import { dirname } from 'node:path'
import { parentPort } from 'node:worker_threads'
import { BEHIND_ANSWERS, setThreadNiceness } from '../core/niceness.ts'
import { errorCode } from './folders.ts'

export interface WriteJob {
  readonly path: string
  /** Where a variant that replaces another is written first; on the same file system. */
  readonly temporary: string
  /** The file's parts in order. */
  readonly parts: readonly Uint8Array[]
}

export type WriteOutcome =
  /** `replacedBytes`: size of the file that was there before; undefined where there was none. */
  { readonly bytes: number; readonly replacedBytes: number | undefined } | { readonly fault: string }

/** A folder that somebody took away is made again; more often than this in a row is no coincidence. */
const MAX_ATTEMPTS = 4

const writeParts = (path: string, parts: readonly Uint8Array[]): number => {
  const total = parts.reduce((sum, part) => sum + part.byteLength, 0)
  const file = openSync(path, 'wx', 0o600)
  try {
    const written = writevSync(file, parts)
    // A regular file takes less than it is given only where there is no room for more.
    if (written < total) throw new Error(`wrote ${written} of ${total} bytes of ${path}`)
    return total
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

const sizeIfAny = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.size

/**
 * A file that is not there yet is written in place. A reader that meets it half-written, after a crash or now, sees a torn
 * file, which the check by SHA-256 makes a miss. Another encode of a variant that is there takes its place whole.
 */
const store = ({ path, temporary, parts }: WriteJob): WriteOutcome => {
  for (let attempt = 1; ; attempt++) {
    try {
      return { bytes: writeParts(path, parts), replacedBytes: undefined }
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return replace({ path, temporary, parts })
      if (errorCode(error) !== 'ENOENT' || attempt >= MAX_ATTEMPTS) throw error
      mkdirSync(dirname(path), { recursive: true })
    }
  }
}

const replace = ({ path, temporary, parts }: WriteJob): WriteOutcome => {
  const bytes = writeParts(temporary, parts)
  const replacedBytes = sizeIfAny(path)
  try {
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  return { bytes, replacedBytes }
}

const storeOrSay = (job: WriteJob): WriteOutcome => {
  try {
    return store(job)
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) }
  }
}

// Behind the answers that it writes down: a batch takes some milliseconds, for which hot hits would wait.
setThreadNiceness(BEHIND_ANSWERS)

parentPort?.on('message', (jobs: readonly WriteJob[]) => {
  parentPort?.postMessage(jobs.map(storeOrSay) satisfies readonly WriteOutcome[])
})
