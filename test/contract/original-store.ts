/** What every OriginalStore must do, whatever it is made of. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import type { OriginalLister, OriginalStore } from '../../src/blobs/store.ts'
import { AppError } from '../../src/core/errors.ts'
import { parseDigest } from '../../src/core/ids.ts'

const never = new AbortController().signal
const digestOf = (bytes: Uint8Array) => parseDigest(createHash('sha256').update(bytes).digest('hex'))
const sample = (size: number) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255))

async function* inChunks(bytes: Uint8Array, size = 60_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

export type OpenOriginals = () => Promise<{ readonly store: OriginalStore & OriginalLister } & AsyncDisposable>

export const originalStoreContract = (name: string, open: OpenOriginals) =>
  describe(`OriginalStore contract: ${name}`, () => {
    it.for([
      ['nothing', 0],
      ['one byte', 1],
      ['a photo', 100_000],
      ['more than is held in memory', 9 << 20],
    ] as const)('gives back %s', async ([, size]) => {
      await using opened = await open()
      const { store } = opened
      const bytes = sample(size)
      {
        await using staged = await store.stage(inChunks(bytes), size, never)
        expect({ digest: staged.digest, bytes: staged.bytes }).toEqual({ digest: digestOf(bytes), bytes: size })
        expect((await readFile(await staged.file())).equals(bytes)).toBe(true)
        expect(await store.size(staged.digest)).toBeUndefined()
        await staged.publish()
      }
      const digest = digestOf(bytes)
      expect(await store.size(digest)).toBe(size)
      expect((await buffer(await store.read(digest, undefined, never))).equals(bytes)).toBe(true)
      await using file = await store.open(digest, never)
      expect((await readFile(file.path)).equals(bytes)).toBe(true)
      expect(await collect(store.list())).toMatchObject([{ digest, bytes: size }])
    })

    it.for([
      [0, 0],
      [0, 99_999],
      [99_999, 99_999],
      [1000, 1999],
    ] as const)('reads the bytes %i to %i', async ([start, end]) => {
      await using opened = await open()
      const bytes = sample(100_000)
      await using staged = await opened.store.stage(inChunks(bytes), bytes.length, never)
      await staged.publish()
      const part = await buffer(await opened.store.read(staged.digest, { start, end }, never))
      expect(part.equals(bytes.subarray(start, end + 1))).toBe(true)
    })

    it('publishes what exists, at once and one after the other', async () => {
      await using opened = await open()
      const bytes = sample(5000)
      const all = await Promise.all(Array.from({ length: 8 }, () => opened.store.stage(inChunks(bytes), 5000, never)))
      await Promise.all(all.map((staged) => staged.publish()))
      await Promise.all(all.map((staged) => staged[Symbol.asyncDispose]()))
      expect(await collect(opened.store.list())).toHaveLength(1)
      expect((await buffer(await opened.store.read(digestOf(bytes), undefined, never))).equals(bytes)).toBe(true)
    })

    it('lists in the order of the digests', async () => {
      await using opened = await open()
      const digests = Array.from({ length: 20 }, (_, i) => sample(i + 1))
      for (const bytes of digests) {
        await using staged = await opened.store.stage(inChunks(bytes), 100, never)
        await staged.publish()
      }
      const listed = (await collect(opened.store.list())).map(({ digest }) => digest)
      expect(listed).toEqual(digests.map(digestOf).sort())
    })

    it('refuses one byte more than is allowed', async () => {
      await using opened = await open()
      const refused = opened.store.stage(inChunks(sample(1001)), 1000, never)
      await expect(refused).rejects.toMatchObject({ kind: 'too-large' })
      expect(await collect(opened.store.list())).toEqual([])
    })

    it('hands on what the source throws', async () => {
      await using opened = await open()
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield sample(10)
        throw new AppError('bad-request', 'cut short')
      }
      await expect(opened.store.stage(broken(), 1000, never)).rejects.toMatchObject({ message: 'cut short' })
    })

    it('lets go of a source that hangs when the signal aborts', async () => {
      await using opened = await open()
      async function* hanging(): AsyncGenerator<Uint8Array> {
        yield sample(10)
        await new Promise(() => undefined)
      }
      const abort = new AbortController()
      const staging = opened.store.stage(hanging(), 1000, abort.signal)
      setTimeout(() => abort.abort(new Error('enough')), 20)
      await expect(staging).rejects.toThrow('enough')
    })

    it('removes, again without error, and then misses the bytes', async () => {
      await using opened = await open()
      const { store } = opened
      await using staged = await store.stage(inChunks(sample(10)), 10, never)
      await staged.publish()
      await store.remove(staged.digest)
      await store.remove(staged.digest)
      expect(await store.size(staged.digest)).toBeUndefined()
      await expect(store.open(staged.digest, never)).rejects.toMatchObject({ kind: 'internal' })
      await expect(store.read(staged.digest, undefined, never)).rejects.toMatchObject({ kind: 'internal' })
    })
  })
