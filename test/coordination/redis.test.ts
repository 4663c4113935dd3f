import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDiskVariants } from '../../src/blobs/disk-variants.ts'
import { formatVariantFile } from '../../src/blobs/variant-file.ts'
import { openRedis } from '../../src/coordination/redis.ts'
import { parseDigest, variantKey } from '../../src/core/ids.ts'
import { createSharedTier, purgingNotices } from '../../src/delivery/shared-tier.ts'
import { limitsContract, noticesContract, renderLeasesContract } from '../contract/coordination.ts'
import { variantStoreContract } from '../contract/variant-store.ts'
import { variantOf } from '../delivery/picture.ts'
import { redisIsHere } from '../engines/redis.ts'
import { until } from '../fixtures/until.ts'
import { temporaryFolder } from '../fixtures/write-path.ts'
import { type RedisInstances, redisInstances, startLine } from './redis-harness.ts'

const digest = parseDigest('c'.repeat(64))
const key = variantKey(digest, 'r1-w320')

describe.runIf(redisIsHere())('over Redis', () => {
  let shared: RedisInstances
  beforeAll(async () => {
    shared = await redisInstances()
  })
  afterAll(() => shared[Symbol.asyncDispose]())

  noticesContract('Redis', async () => (await shared.open()).notices)
  renderLeasesContract('Redis', async () => (await shared.open()).leases)

  describe('limits', () => {
    let opened: Awaited<ReturnType<RedisInstances['open']>>
    beforeAll(async () => {
      opened = await shared.open({ url: `${shared.server.url}/1` })
    })
    limitsContract('Redis', (rules) => opened.limits(rules))
  })

  variantStoreContract('disk behind a cache in Redis', async () => {
    const folder = await temporaryFolder()
    const disk = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9 })
    const empty = await redisInstances()
    const redis = await empty.open()
    return {
      store: createSharedTier(disk, redis.cache),
      [Symbol.asyncDispose]: async () => {
        await empty[Symbol.asyncDispose]()
        await disk[Symbol.asyncDispose]()
        await folder[Symbol.asyncDispose]()
      },
    }
  })

  describe('the shared cache', () => {
    const file = (text: string) => formatVariantFile(variantOf(text))

    it('gives another instance what one has put, and forgets all of an original at once', async () => {
      const [a, b] = [await shared.open(), await shared.open()]
      const other = variantKey(digest, 'r1-w640')
      expect(await a.cache.put(key, file('small'))).toBe(true)
      expect(await a.cache.put(other, file('large'))).toBe(true)
      expect(await b.cache.find(key)).toEqual(Buffer.concat(file('small')))
      expect(await b.cache.removeOf(digest)).toBe(true)
      expect([await a.cache.find(key), await a.cache.find(other)]).toEqual([undefined, undefined])
    })

    it('takes no value over 256 KiB, and no more than 64 of one original', async () => {
      const { cache } = await shared.open()
      expect(await cache.put(key, [Buffer.alloc(256 * 1024 + 1)])).toBe(false)
      for (let i = 0; i < 65; i += 1) expect(await cache.put(variantKey(digest, `n${i}`), file('x'))).toBe(true)
      expect(await cache.find(variantKey(digest, 'n0'))).toBeUndefined()
      expect(await cache.find(variantKey(digest, 'n64'))).toBeDefined()
    })

    it('takes a value that is not whole for a miss, and puts back what the store has', async () => {
      await using folder = await temporaryFolder()
      await using disk = await openDiskVariants({ folder: folder.path, budgetBytes: 1e9 })
      const { cache } = await shared.open()
      const tier = createSharedTier(disk, cache)
      const variant = variantOf('picture')
      await disk.put(key, variant)
      await cache.put(key, [Buffer.concat(formatVariantFile(variant)).subarray(0, -1)])
      expect((await tier.find(key))?.facts).toEqual(variant.facts)
      expect(tier.stats).toMatchObject({ sharedHits: 0, sharedCorrupt: 1 })
      await until(
        async () => (await tier.find(key)) !== undefined && 'sharedHits' in tier.stats && tier.stats.sharedHits === 1,
      )
    })

    it('is purged by a change of the original, which the receipt says', async () => {
      const { cache, notices } = await shared.open()
      await cache.put(key, file('hidden'))
      const receipt = await purgingNotices(notices, cache).publish(digest)
      expect(receipt.tiers).toMatchObject({ 'shared-cache': 'confirmed' })
      expect(await cache.find(key)).toBeUndefined()
    })
  })
})

describe.runIf(redisIsHere())('a change', () => {
  it('has been heard by every instance when publish resolves', async () => {
    await using shared = await redisInstances()
    const [a, b, c] = [await shared.open(), await shared.open(), await shared.open()]
    const heard: string[] = []
    for (const [name, { notices }] of Object.entries({ a, b, c }))
      notices.subscribe((changed) => heard.push(`${name} ${changed.slice(0, 3)}`))
    const receipt = await a.notices.publish(digest)
    expect(receipt).toEqual({ instances: 2, confirmed: 2, tiers: { instances: 'confirmed' } })
    expect(heard.sort()).toEqual(['a ccc', 'b ccc', 'c ccc'])
  })

  it('is not said to be confirmed by an instance whose subscriber failed', async () => {
    await using shared = await redisInstances()
    const [a, b] = [await shared.open(), await shared.open()]
    b.notices.subscribe(() => {
      throw new Error('broken')
    })
    const receipt = await a.notices.publish(digest)
    expect(receipt).toEqual({ instances: 1, confirmed: 0, tiers: { instances: 'unreachable' } })
    expect(b.stats().noticeFaults).toBe(1)
  })

  it('makes an instance forget everything when the subscription breaks, and again when it is back', async () => {
    await using shared = await redisInstances()
    const a = await shared.open()
    const heard: string[] = []
    a.notices.subscribe((changed) => heard.push(`${changed} live: ${a.notices.live()}`))
    await shared.server.kill()
    await until(() => heard.length > 0)
    expect(heard).toEqual(['all live: false'])
    await shared.server.start()
    await until(() => a.notices.live())
    expect(heard).toEqual(['all live: false', 'all live: false'])
  })

  it('is not waited for in a Redis that hangs: not live within seconds, and live again after', async () => {
    await using shared = await redisInstances()
    const [a, b] = [await shared.open(), await shared.open()]
    shared.server.hang()
    const receipt = await a.notices.publish(digest)
    expect(receipt).toEqual({ instances: 0, confirmed: 0, tiers: { instances: 'unreachable' } })
    await until(() => !a.notices.live() && !b.notices.live())
    const heard: string[] = []
    b.notices.subscribe((changed) => heard.push(changed))
    shared.server.resume()
    await until(() => a.notices.live() && b.notices.live())
    expect(heard).toContain('all')
    // Heard is one thing, to speak another: who confirms must have found Redis well too.
    await until(() => [a, b].every((each) => each.health().state === 'ready'))
    expect(await a.notices.publish(digest)).toMatchObject({ instances: 1, confirmed: 1 })
  })

  it('is not missed by an instance whose line goes silent without closing: it notices, and connects anew', async () => {
    await using shared = await redisInstances()
    await using line = await startLine(shared.server.port)
    const [a, b] = [await shared.open({ url: `redis://127.0.0.1:${line.port}` }), await shared.open()]
    line.silence()
    expect(await b.notices.publish(digest)).toMatchObject({ instances: 1, confirmed: 0 })
    const heard: string[] = []
    a.notices.subscribe((changed) => heard.push(`${changed} live: ${a.notices.live()}`))
    // Not live a moment before it is said: the clock decides the one, a timer the other.
    await until(() => heard.length > 0)
    expect([heard[0], b.notices.live()]).toEqual(['all live: false', true])
    await until(async () => (await b.notices.publish(digest)).confirmed === 1)
    expect(heard[1]).toBe('all live: false')
  })

  it('that could not be said is said once it can be', async () => {
    await using shared = await redisInstances()
    await using line = await startLine(shared.server.port)
    const [a, b] = [await shared.open({ url: `redis://127.0.0.1:${line.port}` }), await shared.open()]
    const heard: string[] = []
    b.notices.subscribe((changed) => heard.push(changed))
    line.cut()
    await until(() => !a.notices.live())
    expect(await a.notices.publish(digest)).toMatchObject({ tiers: { instances: 'unreachable' } })
    expect([a.stats().noticeUnsaid, heard, b.notices.live()]).toEqual([1, [], true])
    line.mend()
    await until(() => heard.includes(digest))
    expect([a.stats().noticeUnsaid, heard]).toEqual([0, [digest]])
  })
})

describe.runIf(redisIsHere())('without Redis', () => {
  it('opens, says degraded, answers everything with nothing, and works once it is there', async () => {
    await using shared = await redisInstances()
    const first = await shared.open()
    await shared.server.kill()
    await until(() => first.health().state === 'degraded')
    const limits = first.limits({ few: { capacity: 1, fullAfterSeconds: 3_600 } })
    expect(await first.cache.find(key)).toBeUndefined()
    expect(await first.cache.put(key, [Buffer.from('x')])).toBe(false)
    expect(await first.cache.removeOf(digest)).toBe(false)
    expect((await first.leases.claim(key)).kind).toBe('alone')
    expect((await limits.take('few', 'k', 1)).allowed).toBe(true)
    expect((await limits.take('few', 'k', 1)).allowed).toBe(false)
    await shared.server.start()
    await until(() => first.health().state === 'ready')
    expect(await first.cache.put(key, [Buffer.from('x')])).toBe(true)
  })

  it('that hangs, fails within the time limit and then at once', async () => {
    await using shared = await redisInstances()
    const { cache, stats } = await shared.open()
    shared.server.hang()
    const found = await Promise.all(Array.from({ length: 200 }, () => cache.find(key)))
    expect(found.every((value) => value === undefined)).toBe(true)
    await cache.find(key)
    expect(stats().refused).toBeGreaterThan(0)
    // What was given up is let go of too, before Redis is back.
    await until(() => stats().inFlight === 0)
    shared.server.resume()
  })

  it('never puts the password where it can be read', async () => {
    await using shared = await redisInstances('--requirepass', 'open-sesame')
    const url = (password: string) => `redis://:${password}@127.0.0.1:${shared.server.port}`
    const right = await shared.open({ url: url('open-sesame') })
    expect(right.health().detail).toBe(`Redis, 127.0.0.1:${shared.server.port}`)
    const told: unknown[] = []
    await using wrong = await openRedis({ url: url('hunter2'), onFault: (what) => told.push(what) })
    await until(() => told.length > 0)
    expect(wrong.health().state).toBe('degraded')
    expect(JSON.stringify([told, wrong.health(), wrong.stats()])).not.toMatch(/hunter2|open-sesame/)
    expect(told[0]).toMatch(/^Redis at 127\.0\.0\.1:\d+: /)
  })
})
