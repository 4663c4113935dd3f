/** What every VariantStore must do, whatever it is made of. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { VariantLister, VariantStore } from '../../src/blobs/store.ts'
import { parseDigest, type VariantKey, variantKey } from '../../src/core/ids.ts'
import type { Variant } from '../../src/core/variant.ts'

export const sampleVariant = (size: number, fill = 1, generation = 0): Variant => {
  const bytes = new Uint8Array(size).fill(fill)
  const sha256 = createHash('sha256').update(bytes).digest('base64')
  return { bytes, facts: { format: 'webp', width: 320, height: 240, pages: 1, sha256, generation } }
}

export const sampleKey = (hash: string, name = '320x.webp'): VariantKey =>
  variantKey(parseDigest(hash.repeat(64)), name)

export type OpenVariants = () => Promise<{ readonly store: VariantStore & Partial<VariantLister> } & AsyncDisposable>

export const variantStoreContract = (name: string, open: OpenVariants) =>
  describe(`VariantStore contract: ${name}`, () => {
    it.for([0, 1, 20_000, 3_000_000])('gives back %i bytes and their facts', async (size) => {
      await using opened = await open()
      const variant = sampleVariant(size)
      await opened.store.put(sampleKey('a'), variant)
      const found = await opened.store.find(sampleKey('a'))
      expect(found?.facts).toEqual(variant.facts)
      expect(Buffer.from(found?.bytes ?? []).equals(variant.bytes)).toBe(true)
    })

    it('misses what was never put', async () => {
      await using opened = await open()
      expect(await opened.store.find(sampleKey('a'))).toBeUndefined()
    })

    it('replaces a variant by a later generation', async () => {
      await using opened = await open()
      await opened.store.put(sampleKey('a'), sampleVariant(100, 1, 0))
      await opened.store.put(sampleKey('a'), sampleVariant(50, 2, 1))
      expect((await opened.store.find(sampleKey('a')))?.facts.generation).toBe(1)
    })

    it('treats bytes that do not hash to their facts as a miss', async () => {
      await using opened = await open()
      const { facts } = sampleVariant(100)
      await opened.store.put(sampleKey('a'), { bytes: new Uint8Array(100), facts })
      expect(await opened.store.find(sampleKey('a'))).toBeUndefined()
      await opened.store.put(sampleKey('a'), sampleVariant(100))
      expect(await opened.store.find(sampleKey('a'))).toBeDefined()
    })

    it('removes every variant of one original and no other', async () => {
      await using opened = await open()
      const { store } = opened
      for (const name of ['1', '2', '3']) await store.put(sampleKey('a', name), sampleVariant(10))
      await store.put(sampleKey('b'), sampleVariant(10))
      if (store.digests) {
        const digests = new Set<string>()
        for await (const digest of store.digests()) digests.add(digest)
        expect([...digests].sort()).toEqual(['a'.repeat(64), 'b'.repeat(64)])
      }
      expect(await store.removeOf(parseDigest('a'.repeat(64)))).toBe(3)
      expect(await store.removeOf(parseDigest('a'.repeat(64)))).toBe(0)
      expect(await store.find(sampleKey('a', '1'))).toBeUndefined()
      expect(await store.find(sampleKey('b'))).toBeDefined()
    })

    it('stays whole under puts, finds and removals of one key at once', async () => {
      await using opened = await open()
      const { store } = opened
      await Promise.all(
        Array.from({ length: 60 }, async (_, round) => {
          if (round % 10 === 9) await store.removeOf(parseDigest('a'.repeat(64)))
          else await store.put(sampleKey('a'), sampleVariant(1000 + round, round))
          store.touch(sampleKey('a'))
          const found = await store.find(sampleKey('a'))
          if (found) expect(new Set(found.bytes).size).toBe(1)
        }),
      )
    })
  })
