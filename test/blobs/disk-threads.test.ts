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

describe('the threads that write originals', () => {
  it('write the first bytes of a slab, and give it back', async () => {
    await using folder = await temporaryFolder()
    await using threads = createDiskThreads()
    const path = join(folder.path, 'a')
    const given = slabOf('some bytes and more')
    const slab = await threads.write(path, given, 10)
    expect(await readFile(path, 'utf8')).toBe('some bytes')
    expect([given.length, slab.length, slab.toString('utf8', 0, 10)]).toEqual([0, SLAB_BYTES, 'some bytes'])
  })

  it('do more jobs than there are threads, each for itself', async () => {
    await using folder = await temporaryFolder()
    await using threads = createDiskThreads(2)
    await writeFile(join(folder.path, '5'), 'there already')
    const written = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => threads.write(join(folder.path, String(i)), slabOf(`file ${i}`), 7)),
    )
    expect(written.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([5])
    expect(written[5]).toMatchObject({ reason: { code: 'EEXIST' } })
    expect(await readdir(folder.path)).toHaveLength(40)
    expect(threads.stats).toEqual({ running: 0, waiting: 0, done: 39, failed: 1 })
  })

  it('move files in one job, and again after a part of it has failed', async () => {
    await using folder = await temporaryFolder()
    await using threads = createDiskThreads()
    const at = (name: string) => join(folder.path, name)
    await mkdir(at('x'))
    await writeFile(at('a'), 'A')
    await writeFile(at('c'), 'C')
    const moves = [
      { from: at('a'), to: at('x/a') },
      { from: at('b'), to: at('x/b') },
      { from: at('c'), to: at('x/c') },
    ]
    await expect(threads.publish(moves)).rejects.toMatchObject({ code: 'ENOENT' })
    const single = await Promise.allSettled(moves.map((move) => threads.publish([move])))
    expect(single.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((await readdir(at('x'))).sort()).toEqual(['a', 'c'])
  })

  it('end only when what was asked is done', async () => {
    await using folder = await temporaryFolder()
    const threads = createDiskThreads(1)
    const writing = threads.write(join(folder.path, 'a'), slabOf('abc'), 3)
    await threads[Symbol.asyncDispose]()
    await writing
    expect(await readFile(join(folder.path, 'a'), 'utf8')).toBe('abc')
  })
})
