/** A cache that several instances share in front of a variant store: a decorator of its port (anchors, habit 5). */
import type { VariantStore } from '../blobs/store.ts'
import { formatVariantFile, parseVariantFile } from '../blobs/variant-file.ts'
import type { ChangeNotices, SharedCache } from '../coordination/coordination.ts'
import type { VariantKey } from '../core/ids.ts'

export interface SharedTier extends VariantStore {
  /** Resolves when other instances can find what `put` is storing, or when that has failed. At once where nothing is being put. */
  reachable(key: VariantKey): Promise<void>
  /** The store's own, and `sharedHits`; `sharedCorrupt` counts values that were not whole: a miss. */
  readonly stats: object
}

/** Fills under way from the store, of up to 256 KiB each: past it a variant is served without being shared. */
const MAX_FILLING = 64

/** The store decides whether a `put` or `removeOf` succeeded; the cache only adds speed. */
export const createSharedTier = (store: VariantStore & { readonly stats: object }, cache: SharedCache): SharedTier => {
  const stats = { sharedHits: 0, sharedCorrupt: 0 }
  const putting = new Map<VariantKey, Promise<void>>()
  let filling = 0

  const fill = (...[key, variant]: Parameters<VariantStore['put']>): void => {
    if (filling >= MAX_FILLING) return
    filling += 1
    void cache.put(key, formatVariantFile(variant)).finally(() => {
      filling -= 1
    })
  }

  const findShared = async (key: VariantKey) => {
    const value = await cache.find(key)
    const variant = value && parseVariantFile(value)
    if (variant) stats.sharedHits += 1
    else if (value) stats.sharedCorrupt += 1
    return variant
  }

  return {
    find: async (key) => {
      const shared = await findShared(key)
      if (shared) return shared
      const stored = await store.find(key)
      if (stored) fill(key, stored)
      return stored
    },
    put: (key, variant) => {
      const stored = store.put(key, variant)
      const ended = stored.catch(() => {})
      const reachable = cache.put(key, formatVariantFile(variant)).then((shared) => (shared ? undefined : ended))
      putting.set(key, reachable)
      void reachable.finally(() => {
        if (putting.get(key) === reachable) putting.delete(key)
      })
      return stored
    },
    reachable: async (key) => putting.get(key),
    touch: store.touch,
    removeOf: async (digest) => {
      // The store first: what it still has could be put into the cache again.
      const removed = await store.removeOf(digest)
      await cache.removeOf(digest)
      return removed
    },
    get stats() {
      return { ...store.stats, ...stats }
    },
  }
}

/** A change of an original takes its variants out of the shared cache too, before the change is said to be done. */
export const purgingNotices = (notices: ChangeNotices, cache: Pick<SharedCache, 'removeOf'>): ChangeNotices => ({
  subscribe: notices.subscribe,
  live: notices.live,
  publish: async (digest) => {
    const [receipt, removed] = await Promise.all([notices.publish(digest), cache.removeOf(digest)])
    return { ...receipt, tiers: { ...receipt.tiers, 'shared-cache': removed ? 'confirmed' : 'unreachable' } }
  },
})
