import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createDiskThreads } from '../../src/blobs/disk-threads.ts'
import { SLAB_BYTES } from '../../src/blobs/slabs.ts'
import { temporaryFolder } from '../fixtures/write-path.ts'

const slabOf = (text: string): Buffer => {
  const slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  slab.write(text)
  return slab
}

/** A folder for new files and one for their names, and files of the one stored in the other. */
const twoFolders = async () => {
  const folder = await temporaryFolder()
  await mkdir(join(folder.path, 'new'))
  await mkdir(join(folder.path, 'x'))
  const at = (name: string) => join(folder.path, name)
  const file = (name: string, text: string, bytes = text.length) => ({
    path: at(`new/${name}`),
    to: at(`x/${name}`),
    slab: slabOf(text),
    bytes,
  })
  return { at, file, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

const failedAt = (settled: readonly PromiseSettledResult<unknown>[]): readonly number[] =>
  settled.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))

describe('the threads that write originals', () => {
  it('store the first bytes of a slab, and give it back', async () => {
    await using folder = await twoFolders()
    await using threads = createDiskThreads()
    const given = folder.file('a', 'some bytes and more', 10)
    const slab = await threads.store(given)
    expect(await readFile(folder.at('x/a'), 'utf8')).toBe('some bytes')
    expect(await readdir(folder.at('new'))).toEqual([])
    expect([given.slab.length, slab.length, slab.toString('utf8', 0, 10)]).toEqual([0, SLAB_BYTES, 'some bytes'])
  })

  it('do more jobs than there are threads, each for itself', async () => {
    await using folder = await twoFolders()
    await using threads = createDiskThreads(2)
    await writeFile(folder.at('new/5'), 'there already')
    const stored = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => threads.store(folder.file(String(i), `file ${i}`))),
    )
    expect(failedAt(stored)).toEqual([5])
    expect(stored[5]).toMatchObject({ reason: { code: 'EEXIST' } })
    expect(await readdir(folder.at('x'))).toHaveLength(39)
    expect(threads.stats).toEqual({ running: 0, waiting: 0, done: 39, failed: 1 })
  })

  it('move files, over what has the name already', async () => {
    await using folder = await twoFolders()
    await using threads = createDiskThreads(1)
    for (const name of ['new/a', 'new/c', 'x/c']) await writeFile(folder.at(name), name)
    const moved = await Promise.allSettled(
      ['a', 'b', 'c'].map((name) => threads.move(folder.at(`new/${name}`), folder.at(`x/${name}`))),
    )
    expect(failedAt(moved)).toEqual([1])
    expect(moved[1]).toMatchObject({ reason: { code: 'ENOENT' } })
    expect((await readdir(folder.at('x'))).sort()).toEqual(['a', 'c'])
    expect(await readFile(folder.at('x/c'), 'utf8')).toBe('new/c')
  })

  it('end only when what was asked is done', async () => {
    await using folder = await twoFolders()
    const threads = createDiskThreads(1)
    const storing = threads.store(folder.file('a', 'abc'))
    await threads[Symbol.asyncDispose]()
    await storing
    expect(await readFile(folder.at('x/a'), 'utf8')).toBe('abc')
  })
})
