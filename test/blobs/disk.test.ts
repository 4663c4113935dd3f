import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { getPriority } from 'node:os'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openDiskChunks } from '../../src/blobs/disk-chunks.ts'
import { openDiskOriginals } from '../../src/blobs/disk-originals.ts'
import { openDiskVariants } from '../../src/blobs/disk-variants.ts'
import { createInProcessLocker, createInProcessNotices } from '../../src/coordination/in-process.ts'
import { BEHIND_ANSWERS } from '../../src/core/niceness.ts'
import { chunkStoreContract } from '../contract/chunk-store.ts'
import { lockerContract, noticesContract } from '../contract/coordination.ts'
import { originalStoreContract } from '../contract/original-store.ts'
import { sampleKey, sampleVariant, variantStoreContract } from '../contract/variant-store.ts'
import { threadNiceness } from '../fixtures/thread-niceness.ts'
import { temporaryFolder } from '../fixtures/write-path.ts'

originalStoreContract('disk', async () => {
  const folder = await temporaryFolder()
  return { store: await openDiskOriginals(folder.path), [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
})

chunkStoreContract('disk', async () => {
  const folder = await temporaryFolder()
  const originals = await openDiskOriginals(folder.path)
  return {
    originals,
    chunks: await openDiskChunks({ folder: folder.path, publish: originals.publish }),
    [Symbol.asyncDispose]: async () => {
      await originals[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
})

variantStoreContract('disk', async () => {
  const folder = await temporaryFolder()
  const store = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9, gatherMs: 1 })
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
})

describe('the thread that writes variants', () => {
  it.runIf(process.platform === 'linux')('works at a lower priority than the one that answers', async () => {
    await using folder = await temporaryFolder()
    await using store = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9, gatherMs: 1 })
    await store.put(sampleKey('a'), sampleVariant(10))
    expect([...threadNiceness(process.pid)].sort()).toEqual([getPriority(), BEHIND_ANSWERS])
  })
})

lockerContract('in process', createInProcessLocker)
noticesContract('in process', createInProcessNotices)

const fileOf = (folder: string, hash: string, name = '320x.webp') =>
  join(folder, 'variants', hash.repeat(2), `${hash.repeat(64)}.${name}`)

const never = new AbortController().signal
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

describe('the disk store of originals', () => {
  it('clears at start what an earlier process left half-received', async () => {
    await using folder = await temporaryFolder()
    await mkdir(join(folder.path, 'staging'))
    await writeFile(join(folder.path, 'staging', 'half'), 'ha')
    await openDiskOriginals(folder.path)
    expect(await readdir(join(folder.path, 'staging'))).toEqual([])
  })

  it('writes what fits into memory only when it is published, or somebody has to open it', async () => {
    await using folder = await temporaryFolder()
    await using store = await openDiskOriginals(folder.path)
    const staging = () => readdir(join(folder.path, 'staging'))
    for (const asked of [false, true]) {
      await using staged = await store.stage(once(Buffer.alloc(1000, Number(asked))), 1000, never)
      expect(await staging()).toEqual([])
      if (asked) {
        const path = await staged.file()
        expect(await staging()).toEqual([basename(path)])
      }
      await staged.publish()
      expect(await store.size(staged.digest)).toBe(1000)
    }
    expect(await staging()).toEqual([])
    {
      await using staged = await store.stage(once(Buffer.alloc(1000, 2)), 1000, never)
      await staged.file()
    }
    expect(await staging()).toEqual([])
  })

  it('leaves nothing of what could not be published, and does not try again with half a file', async () => {
    await using folder = await temporaryFolder()
    await using store = await openDiskOriginals(folder.path)
    const bytes = Buffer.alloc(1000, 1)
    {
      await using staged = await store.stage(once(bytes), 1000, never)
      const leaf = join(folder.path, 'originals', staged.digest.slice(0, 2))
      await rm(leaf, { recursive: true })
      await expect(staged.publish()).rejects.toMatchObject({ code: 'ENOENT' })
      await mkdir(leaf)
      await expect(staged.publish()).rejects.toMatchObject({ code: 'ENOENT' })
    }
    expect(await readdir(join(folder.path, 'staging'))).toEqual([])
    await using again = await store.stage(once(bytes), 1000, never)
    await again.publish()
    expect(await store.size(again.digest)).toBe(1000)
  })
})

describe('the disk store of variants', () => {
  it.for([
    ['cut short', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['cut in its header', (bytes: Buffer) => bytes.subarray(0, 6)],
    ['empty', () => Buffer.alloc(0)],
    ['of zeros', (bytes: Buffer) => Buffer.alloc(bytes.length)],
    ['with one bit turned', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([0])])],
    ['with a length past its end', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 4), Buffer.alloc(4, 255)])],
  ] as const)('misses a file %s, removes it and counts it', async ([, spoil]) => {
    await using folder = await temporaryFolder()
    await using store = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9, gatherMs: 1 })
    await store.put(sampleKey('a'), sampleVariant(100))
    const file = fileOf(folder.path, 'a')
    await writeFile(file, spoil(await readFile(file)))
    expect(await store.find(sampleKey('a'))).toBeUndefined()
    expect(store.stats.corrupt).toBe(1)
    expect(await readdir(join(file, '..'))).toEqual([])
  })

  it('counts what it finds at start', async () => {
    await using folder = await temporaryFolder()
    {
      await using store = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9, gatherMs: 1 })
      for (const hash of ['a', 'b', 'c']) await store.put(sampleKey(hash), sampleVariant(1000))
    }
    await using store = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9, gatherMs: 1 })
    await store.settled()
    expect(store.stats.files).toBe(3)
    expect(store.stats.bytes).toBeGreaterThan(3000)
  })

  it('evicts the longest unused down to nine tenths of the budget', async () => {
    await using folder = await temporaryFolder()
    await using store = await openDiskVariants({ folder: folder.path, budgetBytes: 100_000, gatherMs: 1 })
    await store.settled()
    const hashes = [...'0123456789abcdef']
    const now = Date.now() / 1000
    for (const [age, hash] of hashes.slice(0, 9).entries()) {
      await store.put(sampleKey(hash), sampleVariant(10_000))
      await utimes(fileOf(folder.path, hash), now - 1000 + age * 60, now - 1000 + age * 60)
    }
    // The oldest is used again, seen through a touch; then the budget is passed.
    store.touch(sampleKey('0'))
    await expect.poll(async () => (await stat(fileOf(folder.path, '0'))).mtimeMs / 1000).toBeGreaterThan(now - 500)
    await store.put(sampleKey('a'), sampleVariant(10_000))
    await store.settled()
    expect(store.stats.bytes).toBeLessThanOrEqual(90_000)
    expect(store.stats.evicted).toBeGreaterThan(0)
    const kept = await Promise.all(hashes.map(async (hash) => ((await store.find(sampleKey(hash))) ? hash : '')))
    expect(kept.join('')).toBe('0345678a')
  })

  it('makes room even when every file is of the same age', async () => {
    await using folder = await temporaryFolder()
    await using store = await openDiskVariants({ folder: folder.path, budgetBytes: 50_000, gatherMs: 1 })
    await store.settled()
    for (const hash of '0123456789abcdef') await store.put(sampleKey(hash), sampleVariant(10_000))
    await store.settled()
    expect(store.stats.bytes).toBeLessThanOrEqual(50_000)
    expect(store.stats.files).toBeGreaterThan(0)
  })

  it('survives its folder being taken away', async () => {
    await using folder = await temporaryFolder()
    await using store = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9, gatherMs: 1 })
    await store.put(sampleKey('a'), sampleVariant(10))
    await rm(join(folder.path, 'variants', 'aa'), { recursive: true })
    expect(await store.find(sampleKey('a'))).toBeUndefined()
    await store.put(sampleKey('a'), sampleVariant(10))
    expect(await store.find(sampleKey('a'))).toBeDefined()
  })
})
