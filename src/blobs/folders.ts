/** Folders and their durability: a new name survives a crash only once the folder that holds it is synced. */
import { mkdir, open, opendir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'

/** Seconds a client waits before it tries a full disk again: somebody has to make room first. */
const DISK_FULL_RETRY_SECONDS = 60

/** Forces a folder's entries to the disk (fsync(2): syncing a file does not sync the entry that names it). */
export const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes `folder` and its missing parents, each durable before the next is entered. */
export const ensureFolder = async (folder: string): Promise<void> => {
  const first = await mkdir(folder, { recursive: true })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

/** The folder of a digest's files: one of the 256 that `makeLeaves` made. */
export const leafOf = (root: string, digest: Digest): string => join(root, digest.slice(0, 2))

/** The root is synced even when all leaves are there: a process that made them may have died before it did. */
export const makeLeaves = async (root: string): Promise<void> => {
  await ensureFolder(root)
  for (let leaf = 0; leaf < 256; leaf++)
    await mkdir(join(root, leaf.toString(16).padStart(2, '0')), { recursive: true })
  await syncFolder(root)
}

/** An empty folder at `<parent>/<name>`, whatever an earlier process left there. */
export const emptyFolder = async (parent: string, name: string): Promise<string> => {
  const folder = join(parent, name)
  await rm(folder, { recursive: true, force: true })
  await ensureFolder(folder)
  return folder
}

/** The code of a system error, such as `ENOENT`; '' for anything else. */
export const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** A full disk or quota as `busy`, so that the client comes back; everything else as it is. */
export const asStoreError = (error: unknown): unknown =>
  ['ENOSPC', 'EDQUOT'].includes(errorCode(error))
    ? new AppError('busy', 'the disk is full', { cause: error, retryAfterSeconds: DISK_FULL_RETRY_SECONDS })
    : error

export interface WalkedFile {
  readonly path: string
  readonly name: string
  readonly bytes: number
  readonly modifiedAt: Date
}

/**
 * Every file below `folder` that has not gone meanwhile, one at a time: housekeeping must not crowd the disk. Constant
 * memory. Not opendir's `recursive`, which opens each folder synchronously and so stops the event loop.
 */
export async function* walkFiles(folder: string): AsyncGenerator<WalkedFile> {
  const entries = await opendir(folder).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  })
  for await (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* walkFiles(path)
    if (!entry.isFile()) continue
    const found = await statIfAny(path)
    if (found) yield { path, name: entry.name, bytes: found.size, modifiedAt: found.mtime }
  }
}

/** Undefined where there is no such file. */
export const statIfAny = (path: string) =>
  stat(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
