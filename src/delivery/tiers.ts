/** Where a variant may already be: memory over the store, as decorators of one port (anchors, habit 5). */
import { LRUCache } from 'lru-cache'
import type { VariantStore } from '../blobs/store.ts'
import type { CacheTier } from '../core/event.ts'
import type { VariantKey } from '../core/ids.ts'
import type { Variant } from '../core/variant.ts'

export interface Found {
  readonly variant: Variant
  readonly tier: Extract<CacheTier, 'memory' | 'disk'>
}

export interface Kept {
  readonly memory: boolean
  readonly store: boolean
}

/** A variant's place in memory, for who asks again and again: a look-up there is several cache lines, this is one. */
export interface Held {
  readonly key: VariantKey
  /** Undefined from the moment memory gives the variant up or gets a newer encode, so that no holder keeps its bytes alive. */
  variant: Variant | undefined
  usedAt: number
}

export interface VariantTiers {
  /** Memory only, without I/O. */
  peek(key: VariantKey): Variant | undefined
  /** The variant's place in memory, if it has one. */
  hold(key: VariantKey): Held | undefined
  /** Notes a use of what is held. `nowMs` is on `performance.now`'s clock. */
  use(held: Held, nowMs: number): void
  /** Nearest first; a hit further away is brought near. A store that fails is a miss, counted: a cache never breaks an answer. */
  find(key: VariantKey): Promise<Found | undefined>
  /** Into memory at once, into the store behind the answer; a failure there is counted, the answer stands. */
  put(key: VariantKey, variant: Variant): void
  /** Where the variant is kept now, or is on its way to. */
  keeps(key: VariantKey): Kept
  /** Resolves when the writes that `put` began have ended. */
  settled(): Promise<void>
  readonly stats: { memoryBytes: number; memoryEntries: number; storeFaults: number; writing: number }
}

export interface TierOptions {
  /** Budget of the memory tier in bytes; one variant may take up to an eighth of it. */
  readonly memoryBytes: number
  readonly onFault: (error: unknown, doing: string) => void
}

/** What an entry costs beside its bytes: facts, key, map slots (measured ~600 B on Node 26). */
const ENTRY_OVERHEAD_BYTES = 600

/** Memory's own order of use is kept to the second, and the store told as often: what is hot is used again before anything is evicted. */
const USE_EVERY_MS = 1_000

/** Writes under way; past this a variant is served but not stored, so that a slow disk cannot fill the memory. */
const MAX_WRITING = 256

export const createTiers = (store: VariantStore, options: TierOptions): VariantTiers => {
  const memory = new LRUCache<VariantKey, Held>({
    maxSize: Math.max(options.memoryBytes, 1),
    maxEntrySize: Math.max(Math.floor(options.memoryBytes / 8), 1),
    sizeCalculation: ({ variant }) => (variant?.bytes.byteLength ?? 0) + ENTRY_OVERHEAD_BYTES,
    dispose: (held) => {
      held.variant = undefined
    },
  })
  const writing = new Map<VariantKey, { readonly variant: Variant; readonly done: Promise<void> }>()
  let storeFaults = 0

  const fault = (error: unknown, doing: string): void => {
    storeFaults += 1
    options.onFault(error, doing)
  }

  const remember = (key: VariantKey, { bytes, facts }: Variant): void => {
    // A socket takes a Buffer as it is; any other array it would wrap anew for every answer.
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    memory.set(key, { key, variant: { bytes: buffer, facts }, usedAt: performance.now() })
  }

  const write = (key: VariantKey, variant: Variant): void => {
    if (writing.size >= MAX_WRITING) {
      fault(new Error('too many variant writes under way'), `storing ${key}`)
      return
    }
    const done = store
      .put(key, variant)
      .catch((error: unknown) => fault(error, `storing ${key}`))
      .finally(() => writing.delete(key))
    writing.set(key, { variant, done })
  }

  const use = (held: Held, nowMs: number): void => {
    if (nowMs - held.usedAt < USE_EVERY_MS) return
    held.usedAt = nowMs
    memory.get(held.key)
    store.touch(held.key)
  }

  const peek = (key: VariantKey): Variant | undefined => {
    const held = memory.get(key)
    if (held) use(held, performance.now())
    return held?.variant
  }

  return {
    peek,
    hold: (key) => memory.get(key),
    use,
    async find(key) {
      // What is being written is too large for memory, or was pushed out of it a moment ago.
      const near = peek(key) ?? writing.get(key)?.variant
      if (near) return { variant: near, tier: 'memory' }
      const far = await store.find(key).catch((error: unknown) => fault(error, `reading ${key}`))
      if (!far) return undefined
      store.touch(key)
      remember(key, far)
      return { variant: far, tier: 'disk' }
    },
    put(key, variant) {
      remember(key, variant)
      write(key, variant)
    },
    keeps: (key) => ({ memory: memory.has(key), store: writing.has(key) }),
    async settled() {
      await Promise.all([...writing.values()].map((write) => write.done))
    },
    get stats() {
      return {
        memoryBytes: memory.calculatedSize,
        memoryEntries: memory.size,
        storeFaults,
        writing: writing.size,
      }
    },
  }
}
