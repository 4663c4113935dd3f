/**
 * Variants as files within a budget of bytes: `<folder>/variants/ab/<digest>.<name>`. Each can be made again, so nothing here
 * is synced. No folder of its own for each original: making one cost 0.8 ms CPU on ext4, beside a render of 22 (measured).
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { opendir, readFile, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf, isDigest, type VariantKey } from '../core/ids.ts'
import { countVariants, evictVariants, expireVariants } from './eviction.ts'
import { emptyFolder, errorCode, leafOf, makeLeaves, statIfAny, walkFiles } from './folders.ts'
import type { VariantLister, VariantStore } from './store.ts'
import { formatVariantFile, parseVariantFile } from './variant-file.ts'
import { startVariantWriter } from './variant-writer.ts'

const DIGEST_LENGTH = 64
/** Evict to this share of the budget, so that the next eviction is not due at the next put. */
const KEPT_SHARE = 0.9
/** At 60 renders a second, what two cores can do, three variants share the way to the writing thread. */
const GATHER_MS = 50
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
  /** How long a variant waits for others to be written with. Default 50 ms. */
  readonly gatherMs?: number
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

export interface DiskVariants extends VariantStore, VariantLister, AsyncDisposable {
  readonly stats: Readonly<VariantStoreStats>
  /** Resolves when the counting at start and every eviction under way have ended. */
  settled(): Promise<void>
  /** Removes what was last used before that; returns how many. */
  expire(before: Date): Promise<number>
}

/** Opens the store; what is there is counted in the background. One process owns the folder. Dispose waits for housekeeping. */
export const openDiskVariants = async (options: DiskVariantsOptions): Promise<DiskVariants> => {
  const root = join(options.folder, 'variants')
  await makeLeaves(root)
  const staging = await emptyFolder(options.folder, 'variants-staging')
  const writer = startVariantWriter({ gatherMs: options.gatherMs ?? GATHER_MS })
  const stats: VariantStoreStats = { files: 0, bytes: 0, evicted: 0, corrupt: 0, walkFailures: 0 }
  const pathOf = (key: VariantKey) => join(leafOf(root, digestOf(key)), fileName(key))
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
      const job = { path: pathOf(key), temporary: join(staging, randomUUID()), parts: formatVariantFile(variant) }
      const { bytes, replacedBytes } = await writer.write(job)
      account(replacedBytes === undefined ? 1 : 0, bytes - (replacedBytes ?? 0))
      housekeeping.noticeGrowth()
    },
    touch: createTouch(pathOf),
    digests: () => variantDigests(root),
    expire: async (before) => {
      const expired = await expireVariants(root, before)
      account(-expired.files, -expired.bytes)
      return expired.files
    },
    removeOf: async (digest) => {
      const leaf = leafOf(root, digest)
      let removed = 0
      for (const name of await namesOf(leaf, digest)) {
        const found = await statIfAny(join(leaf, name))
        await rm(join(leaf, name), { force: true })
        if (!found) continue
        removed += 1
        account(-1, -found.size)
      }
      return removed
    },
    [Symbol.asyncDispose]: async () => {
      await writer[Symbol.asyncDispose]()
      await housekeeping.settled()
    },
  }
}

/** At most 64 + 1 + 190 bytes (`variantKey`): the 255 at which file systems stop. */
const fileName = (key: VariantKey): string => key.replace('/', '.')

async function* variantDigests(root: string): AsyncGenerator<Digest> {
  for await (const { name } of walkFiles(root)) {
    const digest = name.slice(0, DIGEST_LENGTH)
    if (isDigest(digest)) yield digest
  }
}

/** A leaf holds some 2,000 names at the default budget; they are read in portions, off the event loop. */
const namesOf = async (leaf: string, digest: Digest): Promise<readonly string[]> => {
  const names: string[] = []
  const entries = await opendir(leaf, { bufferSize: 256 }).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  })
  for await (const { name } of entries) if (name.startsWith(`${digest}.`)) names.push(name)
  return names
}

const readIfAny = async (path: string): Promise<Buffer<ArrayBuffer> | undefined> => {
  // Most look-ups come before a render and find nothing. One look into the kernel's name cache is 10 µs, a thread's trip
  // that ends in an exception 150 (measured).
  if (!existsSync(path)) return undefined
  return readFile(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
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
