/**
 * A thread that writes: the whole way of a small file in plain synchronous calls. Asked of libuv's pool one by one, the same
 * eight calls cost the event loop a round trip each. Only `disk-threads.ts` starts this file.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { parentPort } from 'node:worker_threads'
import type { DiskJob, DiskReply, NewFile } from './disk-job.ts'
import { errorCode } from './folders.ts'

type Fault = Extract<DiskReply, { readonly kind: 'failed' }>

const withOpen = (path: string, flags: string, work: (file: number) => void): void => {
  const file = openSync(path, flags, 0o600)
  try {
    work(file)
  } finally {
    closeSync(file)
  }
}

const write = ({ path, slab, bytes }: NewFile): void =>
  withOpen(path, 'wx', (file) => {
    // write(2) may write less than it was given.
    for (let at = 0; at < bytes; ) at += writeSync(file, slab, at, bytes - at)
    fdatasyncSync(file)
  })

/** rename(2) over an existing original replaces equal bytes by equal bytes, atomically: also the cure of a rotten file. */
const place = (job: DiskJob): void => {
  if (job.kind === 'store') write(job)
  renameSync(job.path, job.to)
}

const attempt = <T>(work: () => T): Fault | undefined => {
  try {
    work()
    return undefined
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error), code: errorCode(error) }
  }
}

/**
 * Folders are synced after all names of a message are in: a journalling file system writes them all out with the first, and has little
 * left for the rest.
 */
const perform = (jobs: readonly DiskJob[]): readonly DiskReply[] => {
  const faults = jobs.map((job) => attempt(() => place(job)))
  const folders = new Set(jobs.flatMap(({ to }, i) => (faults[i] ? [] : dirname(to))))
  const unsynced = new Map([...folders].map((folder) => [folder, attempt(() => withOpen(folder, 'r', fsyncSync))]))
  return jobs.map(
    (job, i) =>
      faults[i] ?? unsynced.get(dirname(job.to)) ?? { kind: 'done', ...(job.kind === 'store' && { slab: job.slab }) },
  )
}

parentPort?.on('message', (jobs: readonly DiskJob[]) => {
  const replies = perform(jobs)
  const given = replies.flatMap((reply) =>
    reply.kind === 'done' && reply.slab ? [reply.slab.buffer as ArrayBuffer] : [],
  )
  parentPort?.postMessage(replies, given)
})
