/**
 * A thread that writes: the whole way of a small file in plain synchronous calls. Asked of libuv's pool one by one, the same
 * eight calls cost the event loop a round trip each. Only `disk-threads.ts` starts this file.
 */
import { closeSync, existsSync, fdatasyncSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { parentPort } from 'node:worker_threads'
import type { DiskJob, DiskReply } from './disk-job.ts'
import { errorCode } from './folders.ts'

type Fault = Extract<DiskReply, { readonly kind: 'failed' }>

/** What of a job is left to do when its name is in the folder. */
interface Placed {
  readonly to: string
  /** Open where the bytes are not on the disk yet. */
  readonly file?: number
}

/**
 * A new file has its name before its bytes are on the disk: one journal commit then covers bytes and name, where it took two, and two
 * writes of the folder. A power cut may leave a name with bytes missing; no row tells of it yet, and the next upload of the same bytes
 * puts a whole file in its place.
 */
const place = (job: DiskJob): Placed => {
  if (job.kind === 'move') {
    // rename(2) over an existing original replaces equal bytes by equal bytes, atomically: also the cure of a rotten file.
    renameSync(job.path, job.to)
    return { to: job.to }
  }
  const { path, to, slab, bytes } = job
  const file = openSync(path, 'wx', 0o600)
  try {
    // write(2) may write less than it was given.
    for (let at = 0; at < bytes; ) at += writeSync(file, slab, at, bytes - at)
    // What has the name may be the last copy of these bytes, in quarantine: only what is whole on the disk takes its place.
    if (existsSync(to)) fdatasyncSync(file)
    renameSync(path, to)
    return { to, file }
  } catch (error) {
    closeSync(file)
    throw error
  }
}

/** A disk that is full may say so only now: then nothing is left under the name. */
const syncBytes = ({ to, file }: Placed): void => {
  if (file === undefined) return
  try {
    fdatasyncSync(file)
  } catch (error) {
    rmSync(to, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

const syncFolder = (folder: string): void => {
  const file = openSync(folder, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

const attempt = <T>(work: () => T): T | Fault => {
  try {
    return work()
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error), code: errorCode(error) }
  }
}

const isFault = (result: unknown): result is Fault => typeof result === 'object' && result !== null && 'kind' in result

/**
 * All names of a message are in before the first sync: a journalling file system writes them all out with that one, and has little
 * left for the rest.
 */
const perform = (jobs: readonly DiskJob[]): readonly DiskReply[] => {
  const placed = jobs.map((job) => attempt(() => place(job)))
  const synced = placed.map((one) => (isFault(one) ? one : attempt(() => syncBytes(one))))
  const folders = new Set(jobs.flatMap(({ to }, i) => (isFault(synced[i]) ? [] : dirname(to))))
  const unsynced = new Map([...folders].map((folder) => [folder, attempt(() => syncFolder(folder))]))
  return jobs.map((job, i) => {
    const fault = [synced[i], unsynced.get(dirname(job.to))].find(isFault)
    return fault ?? { kind: 'done', ...(job.kind === 'store' && { slab: job.slab }) }
  })
}

parentPort?.on('message', (jobs: readonly DiskJob[]) => {
  const replies = perform(jobs)
  const given = replies.flatMap((reply) =>
    reply.kind === 'done' && reply.slab ? [reply.slab.buffer as ArrayBuffer] : [],
  )
  parentPort?.postMessage(replies, given)
})
