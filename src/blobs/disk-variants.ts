/** Variants as files within a budget of bytes: `<folder>/variants/ab/<digest>/<name>`. Each can be made again, so nothing here is synced. */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, digestOf, type VariantKey } from '../core/ids.ts'
import { countVariants, evictVariants } from './eviction.ts'
import { emptyFolder, ensureFolder, errorCode, statIfAny } from './folders.ts'
import type { VariantStore } from './store.ts'
import { formatVariantFile, parseVariantFile } from './variant-file.ts'

/** Evict to this share of the budget, so that the next eviction is not due at the next put. */
const KEPT_SHARE = 0.9
/** A use is noted once a minute per key: enough for "unused for hours", and a hot variant costs no metadata write. */
const TOUCH_INTERVAL_MS = 60_000
/** Keys remembered as touched this minute: at about 150 bytes each, 15 MB. Beyond it uses go unnoted. */
const MAX_TOUCHED = 100_000
/** Touches under way: more would queue in libuv's pool in front of reads. */
const MAX_TOUCHES_UNDER_WAY = 16

export interface DiskVariantsOptions {
  /** The data folder. */
  readonly folder: string
  /** Bytes of files kept; past it the least recently used go. Exceeded for the length of one eviction. */
  readonly budgetBytes: number
}

export interface VariantStoreStats {
  files: number
  bytes: number
  evicted: number
  /** Files that were torn or rotten when read: removed and answered as a miss. */
  corrupt: number
  /** Walks for counting or evicting that failed; the next one tries again. */
  walkFailures: number
}

export interface DiskVariants extends VariantStore, AsyncDisposable {
  readonly stats: Readonly<VariantStoreStats>
  /** Resolves when the counting at start and every eviction under way have ended. */
  settled(): Promise<void>
}

/** Opens the store; what is there is counted in the background. One process owns the folder. Dispose waits for housekeeping. */
export const openDiskVariants = async (options: DiskVariantsOptions): Promise<DiskVariants> => {
  const root = join(options.folder, 'variants')
  await ensureFolder(root)
  const staging = await emptyFolder(options.folder, 'variants-staging')
  const stats: VariantStoreStats = { files: 0, bytes: 0, evicted: 0, corrupt: 0, walkFailures: 0 }
  const pathOf = (key: VariantKey) => join(folderOf(root, digestOf(key)), key.slice(65))
  const account = (files: number, bytes: number) => {
    stats.files += files
    stats.bytes += bytes
  }
  const housekeeping = createHousekeeping(root, options.budgetBytes, stats)

  const discard = async (path: string, bytes: number): Promise<void> => {
    stats.corrupt += 1
    await rm(path, { force: true })
    account(-1, -bytes)
  }

  return {
    stats,
    settled: housekeeping.settled,
    find: async (key) => {
      const path = pathOf(key)
      const file = await readIfAny(path)
      if (!file) return undefined
      const variant = parseVariantFile(file)
      if (!variant) await discard(path, file.length)
      return variant
    },
    put: async (key, variant) => {
      const path = pathOf(key)
      const parts = formatVariantFile(variant)
      const size = await writeNew(path, parts)
      if (size !== undefined) account(1, size)
      else {
        const before = await statIfAny(path)
        const replaced = await replace(path, join(staging, randomUUID()), parts)
        account(before ? 0 : 1, replaced - (before?.size ?? 0))
      }
      housekeeping.noticeGrowth()
    },
    touch: createTouch(pathOf),
    removeOf: async (digest) => {
      const folder = folderOf(root, digest)
      const names = await readdir(folder).catch(() => [])
      let removed = 0
      for (const name of names) {
        const found = await statIfAny(join(folder, name))
        await rm(join(folder, name), { force: true })
        if (!found) continue
        removed += 1
        account(-1, -found.size)
      }
      await rm(folder, { recursive: true, force: true })
      return removed
    },
    [Symbol.asyncDispose]: housekeeping.settled,
  }
}

const folderOf = (root: string, digest: Digest): string => join(root, digest.slice(0, 2), digest)

const readIfAny = (path: string): Promise<Buffer<ArrayBuffer> | undefined> =>
  readFile(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })

/**
 * Writes a file that is not there yet, in place: three trips to the disk where a temporary file and its rename are six, of
 * 0.2 ms CPU each beside a render of 38 (measured). A reader that meets it half-written, after a crash or now, sees a torn
 * file, which the check by SHA-256 makes a miss.
 * @returns its size, or undefined where there is a file of that name.
 */
const writeNew = async (path: string, parts: readonly Uint8Array[]): Promise<number | undefined> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await writeParts(path, parts)
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return undefined
      if (errorCode(error) !== 'ENOENT' || attempt >= 4) throw error
      await mkdir(dirname(path), { recursive: true })
    }
  }
}

/** Another encode of a variant that is there: readers see the one or the other, whole. */
const replace = async (path: string, temporary: string, parts: readonly Uint8Array[]): Promise<number> => {
  const size = await writeParts(temporary, parts)
  await moveInto(temporary, path)
  return size
}

const writeParts = async (path: string, parts: readonly Uint8Array[]): Promise<number> => {
  const total = parts.reduce((sum, part) => sum + part.byteLength, 0)
  const file = await open(path, 'wx', 0o600)
  try {
    try {
      const { bytesWritten } = await file.writev(parts)
      if (bytesWritten < total) await file.writeFile(Buffer.concat(parts).subarray(bytesWritten))
    } finally {
      await file.close()
    }
    return total
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

/** The folder is made when first missed, and again when `removeOf` took it in between. */
const moveInto = async (temporary: string, path: string): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      await rename(temporary, path)
      return
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && attempt < 4) {
        await mkdir(dirname(path), { recursive: true })
        continue
      }
      await rm(temporary, { force: true })
      throw error
    }
  }
}

const createHousekeeping = (root: string, budgetBytes: number, stats: VariantStoreStats) => {
  let evicting = false
  const failed = () => {
    stats.walkFailures += 1
  }
  const evict = async () => {
    evicting = true
    try {
      const { left, evicted } = await evictVariants(root, budgetBytes * KEPT_SHARE)
      stats.evicted += evicted
      Object.assign(stats, left)
    } finally {
      evicting = false
    }
  }
  let underWay = countVariants(root).then((found) => {
    stats.files += found.files
    stats.bytes += found.bytes
    noticeGrowth()
  }, failed)
  const noticeGrowth = () => {
    if (stats.bytes > budgetBytes && !evicting) underWay = evict().catch(failed)
  }
  const settled = async (): Promise<void> => {
    for (let last: Promise<void> | undefined; last !== underWay; ) {
      last = underWay
      await last
    }
  }
  return { noticeGrowth, settled }
}

const createTouch = (pathOf: (key: VariantKey) => string) => {
  const touched = new Set<VariantKey>()
  let minute = 0
  let underWay = 0
  return (key: VariantKey): void => {
    const now = Date.now()
    if (Math.floor(now / TOUCH_INTERVAL_MS) !== minute) {
      minute = Math.floor(now / TOUCH_INTERVAL_MS)
      touched.clear()
    }
    if (touched.has(key) || touched.size >= MAX_TOUCHED || underWay >= MAX_TOUCHES_UNDER_WAY) return
    touched.add(key)
    underWay += 1
    const at = new Date(now)
    utimes(pathOf(key), at, at)
      .catch(() => undefined)
      .finally(() => {
        underWay -= 1
      })
  }
}
