import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { VariantStore } from '../../src/blobs/store.ts'
import type { VariantKey } from '../../src/core/ids.ts'
import type { Variant } from '../../src/core/variant.ts'
import { createTiers } from '../../src/delivery/tiers.ts'
import { key, variantOf } from './picture.ts'

const inMemoryStore = (delayMs = 0): VariantStore & { readonly held: Map<VariantKey, Variant> } => {
  const held = new Map<VariantKey, Variant>()
  return {
    held,
    find: async (wanted) => held.get(wanted),
    put: async (wanted, variant) => {
      await sleep(delayMs)
      held.set(wanted, variant)
    },
    touch: () => {},
    removeOf: async () => 0,
  }
}

const brokenStore: VariantStore = {
  find: async () => Promise.reject(new Error('disk is gone')),
  put: async () => Promise.reject(new Error('disk is gone')),
  touch: () => {},
  removeOf: async () => 0,
}

const options = { memoryBytes: 100_000, onFault: () => {} }

describe('variant tiers', () => {
  it('answers from memory what was put, and from the store what memory does not have', async () => {
    const store = inMemoryStore()
    const tiers = createTiers(store, options)
    tiers.put(key, variantOf('a'))
    expect((await tiers.find(key))?.tier).toBe('memory')
    await tiers.settled()
    const afterRestart = createTiers(store, options)
    expect((await afterRestart.find(key))?.tier).toBe('disk')
    expect((await afterRestart.find(key))?.tier).toBe('memory')
  })

  it('finds a variant too large for memory while it is still being written', async () => {
    const store = inMemoryStore(30)
    const tiers = createTiers(store, options)
    tiers.put(key, variantOf('x'.repeat(50_000)))
    expect(tiers.peek(key)).toBeUndefined()
    expect(await tiers.find(key)).toBeDefined()
    await tiers.settled()
    expect((await tiers.find(key))?.tier).toBe('disk')
  })

  it('takes a store that fails for a miss, and counts it', async () => {
    const faults: string[] = []
    const tiers = createTiers(brokenStore, { memoryBytes: 1, onFault: (_error, doing) => faults.push(doing) })
    expect(await tiers.find(key)).toBeUndefined()
    tiers.put(key, variantOf('a'))
    await tiers.settled()
    expect(faults).toEqual([`reading ${key}`, `storing ${key}`])
    expect(tiers.stats.storeFaults).toBe(2)
  })

  it('tells the store of the uses of what is hot, once a second, and leaves it to the store what to write down', () => {
    const touches: VariantKey[] = []
    const tiers = createTiers({ ...inMemoryStore(), touch: (touched) => touches.push(touched) }, options)
    tiers.put(key, variantOf('a'))
    const held = tiers.hold(key)
    if (!held) return expect.unreachable()
    const start = held.usedAt
    // The clock is a float with a fraction: sums of it may miss a whole second by its last bit.
    for (const ms of [10, 999, 1_001, 1_500, 2_002, 2_003]) tiers.use(held, start + ms)
    expect(touches).toEqual([key, key])
  })

  it('keeps memory within its budget', () => {
    const tiers = createTiers(inMemoryStore(), { memoryBytes: 50_000, onFault: () => {} })
    for (let i = 0; i < 100; i += 1) tiers.put(`${key}${i}` as VariantKey, variantOf('x'.repeat(4_000)))
    expect(tiers.stats.memoryBytes).toBeLessThanOrEqual(50_000)
    expect(tiers.stats.memoryEntries).toBeGreaterThan(5)
  })
})
