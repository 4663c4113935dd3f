import { expect, it } from 'vitest'
import { createFreshReads } from '../../src/delivery/fresh-reads.ts'

/** Each read is ended by the test; it answers its own number. */
const controlled = () => {
  const begun: PromiseWithResolvers<void>[] = []
  const read = createFreshReads(async (_: string) => {
    const mine = begun.push(Promise.withResolvers())
    await begun[mine - 1]?.promise
    return mine
  })
  return { begun, read }
}

it('gives nobody a read that had begun before he asked, and a crowd one read', async () => {
  const { begun, read } = controlled()
  const first = read('a')
  const crowd = Array.from({ length: 100 }, () => read('a'))
  const other = read('b')
  expect(begun).toHaveLength(2)
  begun[0]?.resolve()
  expect(await first).toBe(1)
  await expect.poll(() => begun.length).toBe(3)
  const late = read('a')
  begun[2]?.resolve()
  expect(await Promise.all(crowd)).toEqual(crowd.map(() => 3))
  await expect.poll(() => begun.length).toBe(4)
  begun[3]?.resolve()
  expect(await late).toBe(4)
  begun[1]?.resolve()
  expect(await other).toBe(2)
})

it('lets those who follow read, also when the one before failed, and forgets what is over', async () => {
  let reads = 0
  const read = createFreshReads(async (_: string) => {
    reads += 1
    if (reads === 1) throw new Error('broken')
    return reads
  })
  const failing = read('a')
  const following = read('a')
  await expect(failing).rejects.toThrow('broken')
  expect(await following).toBe(2)
  expect(await read('a')).toBe(3)
})
