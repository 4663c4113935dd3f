/** What every driver of the coordination ports must do, whatever it is made of. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  assertHeld,
  type ChangeNotices,
  type Locker,
  type RateLimits,
  type RateRule,
  type RenderLeases,
} from '../../src/coordination/coordination.ts'
import { parseDigest, variantKey } from '../../src/core/ids.ts'

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
      const stop = notices.subscribe(() => {
        throw new Error('broken')
      })
      notices.subscribe(() => {
        heard += 1
      })
      await expect(notices.publish(digest)).rejects.toThrow(digest)
      expect(heard).toBe(1)
      stop()
    })

    it('is live, and says that all there are have confirmed', async () => {
      const notices = await create()
      expect(notices.live()).toBe(true)
      const { instances, confirmed, tiers } = await notices.publish(digest)
      expect(confirmed).toBe(instances)
      expect(Object.values(tiers)).not.toContain('unreachable')
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

export const renderLeasesContract = (name: string, create: () => RenderLeases | Promise<RenderLeases>) =>
  describe(`RenderLeases contract: ${name}`, () => {
    it('grants a key that nobody renders, each time with a higher token, whatever came of the last', async () => {
      const leases = await create()
      const tokens: number[] = []
      for (const kind of ['stored', 'failed', 'stored', 'failed'] as const) {
        const claim = await leases.claim(keyOf('one'))
        if (claim.kind !== 'granted') throw new Error(`not granted but ${claim.kind}`)
        tokens.push(claim.lease.token)
        await claim.lease.finish({ kind })
        await claim.lease.finish({ kind })
      }
      expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b))
    })

    it('keeps keys apart', async () => {
      const leases = await create()
      const claims = await Promise.all([leases.claim(keyOf('two')), leases.claim(keyOf('three'))])
      expect(claims.map((claim) => claim.kind)).toEqual(['granted', 'granted'])
    })
  })

export const limitsContract = (
  name: string,
  create: (rules: Readonly<Record<'small' | 'slow', RateRule>>) => RateLimits<'small' | 'slow'>,
) =>
  describe(`RateLimits contract: ${name}`, () => {
    const rules = {
      small: { capacity: 3, fullAfterSeconds: 3_600 },
      slow: { capacity: 2, fullAfterSeconds: 1 },
    } as const

    it('allows what the bucket holds and refuses the rest, taking nothing then', async () => {
      const limits = create(rules)
      const verdicts = []
      for (const cost of [2, 2, 1, 1]) verdicts.push(await limits.take('small', 'a', cost))
      expect(verdicts.map(({ allowed, remaining }) => [allowed, remaining])).toEqual([
        [true, 1],
        [false, 1],
        [true, 0],
        [false, 0],
      ])
      // A third of an hour for one token; the whole of it until all three are back.
      expect(verdicts[3]?.resetSeconds).toBeGreaterThan(1_100)
      expect(verdicts[3]?.resetSeconds).toBeLessThanOrEqual(1_200)
      expect(verdicts[2]?.resetSeconds).toBeLessThanOrEqual(3_600)
    })

    it('counts each key and each rule by itself', async () => {
      const limits = create(rules)
      await limits.take('small', 'b', 3)
      expect((await limits.take('small', 'c', 3)).allowed).toBe(true)
      expect((await limits.take('slow', 'b', 2)).allowed).toBe(true)
    })

    it('fills again', async () => {
      const limits = create(rules)
      expect((await limits.take('slow', 'd', 2)).allowed).toBe(true)
      while (!(await limits.take('slow', 'd', 1)).allowed) await sleep(50)
    })

    it('never allows more than it holds to many at once', async () => {
      const limits = create(rules)
      const verdicts = await Promise.all(Array.from({ length: 50 }, () => limits.take('small', 'e', 1)))
      expect(verdicts.filter(({ allowed }) => allowed)).toHaveLength(3)
    })
  })

const keyOf = (name: string) => variantKey(parseDigest('b'.repeat(64)), name)
