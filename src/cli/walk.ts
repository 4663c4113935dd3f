/** The files that were meant by the paths given: regular ones, in order, whatever hides or loops left out. */
import type { Dirent, Stats } from 'node:fs'
import { lstat, readdir, stat } from 'node:fs/promises'
import { basename, join, matchesGlob } from 'node:path'
import { reasonOf } from './file-part.ts'

export interface WalkOptions {
  readonly recursive: boolean
  /** Names that begin with a dot are taken too. A path that was given is taken in any case. */
  readonly hidden: boolean
  /** Globs over the path and over the name; with any `include`, a file must match one. */
  readonly include: readonly string[]
  readonly exclude: readonly string[]
}

export type Found =
  | { readonly kind: 'file'; readonly path: string; readonly bytes: number }
  /** Something that was meant and cannot be had. */
  | { readonly kind: 'fault'; readonly path: string; readonly why: string }

/**
 * Symbolic links below a folder are not followed, so a walk ends and stays where it was sent; one that is given is. Devices, pipes
 * and sockets below a folder are passed over. Lazy: a folder is read when its turn comes.
 */
export async function* walk(paths: readonly string[], options: WalkOptions): AsyncGenerator<Found> {
  for (const path of paths) {
    const stats = await attempt(path, () => stat(path))
    if (stats.fault !== undefined) yield { kind: 'fault', path, why: stats.fault }
    else if (stats.value.isDirectory()) yield* walkFolder(path, options)
    else if (stats.value.isFile()) yield { kind: 'file', path, bytes: stats.value.size }
    else yield { kind: 'fault', path, why: 'neither a file nor a folder' }
  }
}

async function* walkFolder(folder: string, options: WalkOptions): AsyncGenerator<Found> {
  const read = await attempt(folder, () => readdir(folder, { withFileTypes: true }))
  if (read.fault !== undefined) {
    yield { kind: 'fault', path: folder, why: read.fault }
    return
  }
  for (const entry of read.value.sort(byName)) {
    const path = join(folder, entry.name)
    if ((!options.hidden && entry.name.startsWith('.')) || matches(path, options.exclude)) continue
    if (entry.isDirectory()) {
      if (options.recursive) yield* walkFolder(path, options)
    } else if (entry.isFile() && (options.include.length === 0 || matches(path, options.include))) {
      yield await look(path)
    }
  }
}

const look = async (path: string): Promise<Found> => {
  const stats = await attempt(path, (): Promise<Stats> => lstat(path))
  return stats.fault === undefined
    ? { kind: 'file', path, bytes: stats.value.size }
    : { kind: 'fault', path, why: stats.fault }
}

/** By code units, so that the order is the same on every machine. */
const byName = (a: Dirent, b: Dirent): number => (a.name < b.name ? -1 : 1)

const matches = (path: string, globs: readonly string[]): boolean =>
  globs.some((glob) => matchesGlob(basename(path), glob) || matchesGlob(path, glob))

type Attempted<T> = { readonly fault: undefined; readonly value: T } | { readonly fault: string }

const attempt = async <T>(path: string, work: () => Promise<T>): Promise<Attempted<T>> => {
  try {
    return { fault: undefined, value: await work() }
  } catch (error) {
    // Node reads names and arguments as UTF-8; one that is something else comes as a name that does not exist.
    const foreign = path.includes('\ufffd') && error instanceof Error && 'code' in error && error.code === 'ENOENT'
    return { fault: foreign ? 'its name is not UTF-8: rename it' : reasonOf(error) }
  }
}
