/**
 * Variants as objects: `<prefix>variants/<digest>/<name>`, in the format of `variant-file.ts`. The facts stand in the body and not
 * in metadata headers: those a store may cap (2 KB), fold or drop, a rewrite would have to repeat them, and the body's own
 * format is already checked as a whole.
 */
import { LRUCache } from 'lru-cache'
import { AppError } from '../core/errors.ts'
import { type Digest, isDigest, type VariantKey } from '../core/ids.ts'
import type { S3Bucket } from './s3-bucket.ts'
import { asS3AppError } from './s3-faults.ts'
import type { VariantLister, VariantStore } from './store.ts'
import { formatVariantFile, parseVariantFile } from './variant-file.ts'

/** A look-up that takes longer is a miss: most variants are rendered in less. */
const FIND_LIMIT_MS = 5_000
/**
 * Rules expire by age of the last write, and count days: a use is noted by writing the object anew, once a day and key. Read and put, some
 * 50 KB each: a copy onto itself would carry no bytes, but is where stores lose them (Ceph from its fix 58213 to 62604, tracker 70746, which of
 * a variant above 4 MiB keeps the first 4; RustFS before 2819), refuse it (Ozone) or cannot do it (Ceph 16.2 what is encrypted).
 */
const REWRITE_EVERY_MS = 24 * 60 * 60 * 1000
const REWRITE_LIMIT_MS = 10_000
/** Rewrites under way; past it uses go unnoted until the next. */
const MAX_REWRITING = 8
/** Keys whose last write is known: at about 150 bytes each, 15 MB. Of a key forgotten, the next use is taken to need a rewrite. */
const MAX_KNOWN = 100_000

export interface S3VariantStats {
  found: number
  missed: number
  stored: number
  /** Objects that were torn or rotten when read: removed and answered as a miss. */
  corrupt: number
  rewritten: number
  /** Among them reads that came back rotten. */
  rewriteFaults: number
  removed: number
}

export interface S3VariantsOptions {
  readonly bucket: S3Bucket
  readonly prefix: string
  /** Age of an object at which a use writes it anew. */
  readonly rewriteEveryMs?: number
}

export interface S3Variants extends VariantStore, VariantLister {
  readonly stats: Readonly<S3VariantStats>
}

/**
 * `find` answers a miss while the circuit is open, and throws when the store faults: the caller takes that for a miss too, but
 * tells of it. `removeOf` may be raced by a write or rewrite of the same variant, whose object then stays until its rule
 * expires it; nobody is led to it.
 */
export const createS3Variants = (options: S3VariantsOptions): S3Variants => {
  const { bucket, prefix } = options
  const stats: S3VariantStats = {
    found: 0,
    missed: 0,
    stored: 0,
    corrupt: 0,
    rewritten: 0,
    rewriteFaults: 0,
    removed: 0,
  }
  const root = `${prefix}variants/`
  const objectOf = (key: VariantKey) => `${root}${key}`
  const writtenAt = new LRUCache<VariantKey, number>({ max: MAX_KNOWN })

  const removeOf = async (digest: Digest): Promise<number> => {
    let removed = 0
    for await (const page of bucket.pages(`${root}${digest}/`)) {
      if (page.length === 0) continue
      await bucket.removeAll(page.map(({ key }) => key))
      removed += page.length
    }
    stats.removed += removed
    return removed
  }

  return {
    stats,
    find: async (key) => {
      const object = await bucket.get(objectOf(key), FIND_LIMIT_MS).catch(missIfNotTried)
      const variant = object && parseVariantFile(object.bytes)
      if (!object || !variant) {
        stats.missed += 1
        if (!object) return undefined
        stats.corrupt += 1
        await bucket.remove(objectOf(key)).catch(() => undefined)
        return undefined
      }
      stats.found += 1
      writtenAt.set(key, object.writtenAt.getTime())
      return variant
    },
    put: async (key, variant) => {
      await bucket.put(objectOf(key), Buffer.concat(formatVariantFile(variant))).catch(throwAppError)
      stats.stored += 1
      writtenAt.set(key, Date.now())
    },
    touch: createTouch(bucket, objectOf, writtenAt, stats, options.rewriteEveryMs ?? REWRITE_EVERY_MS),
    removeOf: (digest) => removeOf(digest).catch(throwAppError),
    digests: async function* () {
      let last = ''
      for await (const page of bucket.pages(root)) {
        for (const { key } of page) {
          const digest = key.slice(root.length).split('/')[0] ?? ''
          if (digest !== last && isDigest(digest)) yield digest
          last = digest
        }
      }
    },
  }
}

const throwAppError = (error: unknown): never => {
  throw asS3AppError(error)
}

const missIfNotTried = (error: unknown): undefined => {
  if (error instanceof AppError && error.kind === 'busy') return undefined
  throw asS3AppError(error)
}

const createTouch = (
  bucket: S3Bucket,
  objectOf: (key: VariantKey) => string,
  writtenAt: LRUCache<VariantKey, number>,
  stats: S3VariantStats,
  everyMs: number,
) => {
  let underWay = 0
  const rewrite = async (key: VariantKey, now: number): Promise<void> => {
    const object = await bucket.get(objectOf(key), REWRITE_LIMIT_MS)
    if (!object) return
    // Another origin has done it, or this one did before it was started.
    if (now - object.writtenAt.getTime() < everyMs) {
      writtenAt.set(key, object.writtenAt.getTime())
      return
    }
    // Rotten: who looks for it next removes it.
    if (!parseVariantFile(object.bytes)) throw new Error(`the object of ${key} is not whole`)
    await bucket.put(objectOf(key), object.bytes)
    stats.rewritten += 1
  }
  return (key: VariantKey): void => {
    const now = Date.now()
    if (now - (writtenAt.get(key) ?? 0) < everyMs || underWay >= MAX_REWRITING) return
    // Set before the outcome is known: what fails is not tried again until tomorrow, and at worst rendered again in a month.
    writtenAt.set(key, now)
    underWay += 1
    rewrite(key, now)
      .catch(() => {
        stats.rewriteFaults += 1
      })
      .finally(() => {
        underWay -= 1
      })
  }
}
