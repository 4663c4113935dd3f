/**
 * A thread that writes: the whole way of a small file in plain synchronous calls. Asked of libuv's pool one by one, the same
 * eight calls cost the event loop a round trip each. Only `disk-threads.ts` starts this file.
 */
import { closeSync, existsSync, fdatasyncSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { parentPort } from 'node:worker_threads'
import type { DiskJob, DiskReply, Move } from './disk-job.ts'
import { errorCode } from './folders.ts'

const withOpen = (path: string, flags: string, work: (file: number) => void): void => {
  const file = openSync(path, flags, 0o600)
  try {
    work(file)
  } finally {
    closeSync(file)
  }
}

const write = (path: string, slab: Uint8Array, bytes: number): void =>
  withOpen(path, 'wx', (file) => {
    // write(2) may write less than it was given.
    for (let at = 0; at < bytes; ) at += writeSync(file, slab, at, bytes - at)
    fdatasyncSync(file)
  })

/** Done again after another move of its batch failed, it finds nothing where the bytes were, and them where they belong. */
const moveOnce = ({ from, to }: Move): void => {
  try {
    renameSync(from, to)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' || existsSync(from) || !existsSync(to)) throw error
  }
}

/**
 * rename(2) over an existing original replaces equal bytes by equal bytes, atomically: also the cure of a rotten file. Folders are
 * synced after all names are in: a journalling file system writes them all out with the first, and has little left for the rest.
 */
const publish = (moves: readonly Move[]): void => {
  for (const move of moves) moveOnce(move)
  for (const folder of new Set(moves.map(({ to }) => dirname(to)))) withOpen(folder, 'r', fsyncSync)
}

const perform = (job: DiskJob): DiskReply => {
  try {
    if (job.kind === 'publish') {
      publish(job.moves)
      return { kind: 'done' }
    }
    write(job.path, job.slab, job.bytes)
    return { kind: 'done', slab: job.slab }
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error), code: errorCode(error) }
  }
}

parentPort?.on('message', (jobs: readonly DiskJob[]) => {
  const replies = jobs.map(perform)
  const given = replies.flatMap((reply) =>
    reply.kind === 'done' && reply.slab ? [reply.slab.buffer as ArrayBuffer] : [],
  )
  parentPort?.postMessage(replies, given)
})
