/** What every Locker and ChangeNotices must do, whatever they are made of. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { ChangeNotices, Locker } from '../../src/coordination/coordination.ts'
import { parseDigest } from '../../src/core/ids.ts'

const never = new AbortController().signal

export const lockerContract = (name: string, create: () => Locker) =>
  describe(`Locker contract: ${name}`, () => {
    it('lets one in at a time, in order of arrival, each with a higher token', async () => {
      const locker = create()
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
      const locker = create()
      await using _a = await locker.acquire('a', never)
      await using b = await locker.acquire('b', never)
      expect(b.token).toBeGreaterThan(0)
    })

    it('lets a waiting one leave, and those behind it move up', async () => {
      const locker = create()
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
      const locker = create()
      const first = await locker.acquire('a', never)
      const second = locker.acquire('a', never)
      await first[Symbol.asyncDispose]()
      await using _second = await second
      await first[Symbol.asyncDispose]()
      const third = locker.acquire('a', AbortSignal.timeout(30))
      await expect(third).rejects.toThrow()
    })
  })

export const noticesContract = (name: string, create: () => ChangeNotices) =>
  describe(`ChangeNotices contract: ${name}`, () => {
    const digest = parseDigest('a'.repeat(64))

    it('has told every subscriber when publish resolves, until each unsubscribes', async () => {
      const notices = create()
      const heard: string[] = []
      const stop = notices.subscribe((of) => heard.push(`1 ${of}`))
      notices.subscribe((of) => heard.push(`2 ${of}`))
      await notices.publish(digest)
      stop()
      await notices.publish(digest)
      expect(heard).toEqual([`1 ${digest}`, `2 ${digest}`, `2 ${digest}`])
    })

    it('tells the others when one subscriber throws, and then says so', async () => {
      const notices = create()
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
  })
