/** What every Locker and ChangeNotices must do, whatever they are made of. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { assertHeld, type ChangeNotices, type Locker } from '../../src/coordination/coordination.ts'
import { parseDigest } from '../../src/core/ids.ts'

const never = new AbortController().signal

export const lockerContract = (name: string, create: () => Locker | Promise<Locker>) =>
  describe(`Locker contract: ${name}`, () => {
    it('lets one in at a time, in order of arrival, each with a higher token', async () => {
      const locker = await create()
      const order: number[] = []
      const tokens: number[] = []
      let inside = 0
      await Promise.all(
        Array.from({ length: 50 }, async (_, turn) => {
          await using lease = await locker.acquire('a', never)
          inside += 1
          expect(inside).toBe(1)
          await sleep(turn % 3)
          order.push(turn)
          tokens.push(lease.token)
          inside -= 1
        }),
      )
      expect(order).toEqual(Array.from({ length: 50 }, (_, turn) => turn))
      expect(tokens).toEqual([...tokens].sort((a, b) => a - b))
      expect(new Set(tokens).size).toBe(50)
    })

    it('keeps names apart', async () => {
      const locker = await create()
      await using _a = await locker.acquire('a', never)
      await using b = await locker.acquire('b', never)
      expect(b.token).toBeGreaterThan(0)
    })

    it('lets a waiting one leave, and those behind it move up', async () => {
      const locker = await create()
      const leaving = new AbortController()
      const held = await locker.acquire('a', never)
      const left = locker.acquire('a', leaving.signal)
      const behind = locker.acquire('a', never)
      leaving.abort(new Error('gone'))
      await expect(left).rejects.toThrow('gone')
      await held[Symbol.asyncDispose]()
      await using _next = await behind
      await expect(locker.acquire('a', AbortSignal.abort(new Error('late')))).rejects.toThrow('late')
    })

    it('gives back no more than was taken when a lease is disposed twice', async () => {
      const locker = await create()
      const first = await locker.acquire('a', never)
      const second = locker.acquire('a', never)
      await first[Symbol.asyncDispose]()
      await using _second = await second
      await first[Symbol.asyncDispose]()
      const third = locker.acquire('a', AbortSignal.timeout(30))
      await expect(third).rejects.toThrow()
    })

    it('grants leases that are not lost', async () => {
      const locker = await create()
      await using lease = await locker.acquire('a', never)
      expect(lease.lost.aborted).toBe(false)
      assertHeld(lease)
    })
  })

/** Two lockers that stand for two processes. */
export const sharedLockerContract = (name: string, open: () => Promise<readonly [Locker, Locker]>) =>
  describe(`Locker contract, two processes: ${name}`, () => {
    it('lets one in at a time, of all of them, each with a higher token', async () => {
      const lockers = await open()
      const tokens: number[] = []
      let inside = 0
      await Promise.all(
        Array.from({ length: 40 }, async (_, turn) => {
          await using lease = await lockers[turn % 2 === 0 ? 0 : 1].acquire('a', never)
          inside += 1
          expect(inside).toBe(1)
          await sleep(turn % 3)
          tokens.push(lease.token)
          inside -= 1
        }),
      )
      expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b))
      expect(tokens).toHaveLength(40)
    })

    it('lets one that waits for the other process leave, and keeps names apart', async () => {
      const [one, two] = await open()
      const held = await one.acquire('a', never)
      await using _other = await two.acquire('b', never)
      await expect(two.acquire('a', AbortSignal.timeout(100))).rejects.toThrow()
      const next = two.acquire('a', never)
      await held[Symbol.asyncDispose]()
      await using _next = await next
      await expect(one.acquire('a', AbortSignal.timeout(100))).rejects.toThrow()
    })
  })

export const noticesContract = (name: string, create: () => ChangeNotices | Promise<ChangeNotices>) =>
  describe(`ChangeNotices contract: ${name}`, () => {
    const digest = parseDigest('a'.repeat(64))

    it('has told every subscriber when publish resolves, until each unsubscribes', async () => {
      const notices = await create()
      const heard: string[] = []
      const stop = notices.subscribe((of) => heard.push(`1 ${of}`))
      notices.subscribe((of) => heard.push(`2 ${of}`))
      await notices.publish(digest)
      stop()
      await notices.publish(digest)
      expect(heard).toEqual([`1 ${digest}`, `2 ${digest}`, `2 ${digest}`])
    })

    it('tells the others when one subscriber throws, and then says so', async () => {
      const notices = await create()
      let heard = 0
      notices.subscribe(() => {
        throw new Error('broken')
      })
      notices.subscribe(() => {
        heard += 1
      })
      await expect(notices.publish(digest)).rejects.toThrow(digest)
      expect(heard).toBe(1)
    })

    it('is live', async () => {
      const notices = await create()
      expect(notices.live()).toBe(true)
    })
  })

/** Two that stand for two processes. */
export const sharedNoticesContract = (name: string, open: () => Promise<readonly [ChangeNotices, ChangeNotices]>) =>
  describe(`ChangeNotices contract, two processes: ${name}`, () => {
    it('tells the other process of every change, and the own one once', async () => {
      const [one, two] = await open()
      const digests = Array.from({ length: 250 }, (_, n) => parseDigest(n.toString(16).padStart(64, '0')))
      const heard = { one: [] as string[], two: [] as string[] }
      one.subscribe((digest) => heard.one.push(digest))
      two.subscribe((digest) => heard.two.push(digest))
      await Promise.all(digests.map((digest) => one.publish(digest)))
      expect(heard.one).toEqual(digests)
      await expect.poll(() => heard.two.length, { timeout: 10_000 }).toBe(250)
      expect([...heard.two].sort()).toEqual(digests)
      await two.publish(digests[0] ?? parseDigest(''))
      await expect.poll(() => heard.one.length, { timeout: 10_000 }).toBe(251)
    })
  })
