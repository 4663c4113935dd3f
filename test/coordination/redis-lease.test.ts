import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RenderClaim, RenderLease } from '../../src/coordination/coordination.ts'
import type { SharedRedis } from '../../src/coordination/redis.ts'
import { parseDigest, type VariantKey, variantKey } from '../../src/core/ids.ts'
import { redisIsHere } from '../engines/redis.ts'
import { until } from '../fixtures/until.ts'
import { type RedisInstances, redisInstances } from './redis-harness.ts'

const digest = parseDigest('d'.repeat(64))

const granted = (claim: RenderClaim): RenderLease => {
  if (claim.kind !== 'granted') throw new Error(`not granted but ${claim.kind}`)
  return claim.lease
}
const arrivalOf = (claim: RenderClaim) => {
  if (claim.kind !== 'held') throw new Error(`not held but ${claim.kind}`)
  return claim.arrival
}

describe.runIf(redisIsHere())('a render lease in Redis', () => {
  let shared: RedisInstances
  let a: SharedRedis
  let b: SharedRedis
  let keys = 0
  const newKey = (): VariantKey => {
    keys += 1
    return variantKey(digest, `k${keys}`)
  }
  beforeAll(async () => {
    shared = await redisInstances()
    a = await shared.open()
    b = await shared.open()
  })
  afterAll(() => shared[Symbol.asyncDispose]())

  it.for([{ kind: 'stored' }, { kind: 'failed' }, { kind: 'undecodable', detail: 'broken at byte 7' }] as const)(
    'tells who waits in another instance that it was $kind',
    async (outcome) => {
      const key = newKey()
      const lease = granted(await a.leases.claim(key))
      const waiting = [await b.leases.claim(key), await b.leases.claim(key)].map(arrivalOf)
      await lease.finish(outcome)
      expect(await Promise.all(waiting)).toEqual([outcome, outcome])
    },
  )

  it('leaves word for who comes after, of what was stored and of what cannot be decoded', async () => {
    const [stored, broken, failed] = [newKey(), newKey(), newKey()]
    await granted(await a.leases.claim(stored)).finish({ kind: 'stored' })
    await granted(await a.leases.claim(broken)).finish({ kind: 'undecodable', detail: 'no image' })
    await granted(await a.leases.claim(failed)).finish({ kind: 'failed' })
    expect(await b.leases.claim(stored)).toMatchObject({ kind: 'granted', renderedBefore: true })
    expect(await b.leases.claim(broken)).toEqual({ kind: 'undecodable', detail: 'no image' })
    expect(await b.leases.claim(failed)).toMatchObject({ kind: 'granted', renderedBefore: false })
  })

  it('is kept up while the render runs, and free soon after its holder died', async () => {
    // Long enough to outlast a machine that stalls, which may also end the lease of a holder that lives.
    const brief = await shared.open({ leaseMs: 3_000 })
    await using probe = redisClient(shared.server.port)
    const key = newKey()
    granted(await brief.leases.claim(key))
    // Longer than the lease: renewed at each third of it, when what is left grows again.
    for (let renewals = 0, left = 0; renewals < 5; await sleep(10)) {
      const now = await probe.client.pttl(`oriel:0:render:${key}`)
      if (now > left) renewals += 1
      left = now
    }
    void arrivalOf(await b.leases.claim(key))
    await brief[Symbol.asyncDispose]()
    let claim: RenderClaim
    do {
      claim = await b.leases.claim(key)
      if (claim.kind === 'held') await claim.arrival
    } while (claim.kind === 'held')
    expect(claim).toMatchObject({ kind: 'granted', renderedBefore: false })
  })

  it('sends those who wait back to ask when the subscription is lost, and then leaves them to themselves', async () => {
    await using own = await redisInstances()
    const [holder, waiter] = [await own.open({ leaseMs: 60_000 }), await own.open({ leaseMs: 60_000 })]
    const key = newKey()
    granted(await holder.leases.claim(key))
    const arrival = arrivalOf(await waiter.leases.claim(key))
    await own.server.kill()
    expect(await arrival).toBeUndefined()
    expect((await waiter.leases.claim(key)).kind).toBe('alone')
  })

  it('has tokens that grow also when Redis lost everything', async () => {
    await using own = await redisInstances()
    const one = await own.open()
    const key = newKey()
    const before = granted(await one.leases.claim(key)).token
    await own.server.kill()
    await own.server.start()
    await until(() => one.health().state === 'ready')
    expect(granted(await one.leases.claim(key)).token).toBeGreaterThan(before)
  })

  it('has one holder at a time through any order of claims, ends and expiries, and a stale holder ends nothing', async () => {
    await using probe = redisClient(shared.server.port)
    const step = fc.oneof(
      fc.record({ do: fc.constant('claim' as const), by: fc.constantFrom(0, 1) }),
      fc.record({
        do: fc.constant('finish' as const),
        which: fc.nat(5),
        kind: fc.constantFrom('stored' as const, 'failed' as const),
      }),
      fc.record({ do: fc.constant('expire' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const key = newKey()
        const leases: RenderLease[] = []
        // The model: who holds it now, and what is remembered of the last render.
        let holder: RenderLease | undefined
        let stored = false
        for (const each of steps) {
          if (each.do === 'claim') {
            const claim = await (each.by === 0 ? a : b).leases.claim(key)
            if (holder) expect(claim.kind).toBe('held')
            else {
              expect(claim).toMatchObject({ kind: 'granted', renderedBefore: stored })
              holder = granted(claim)
              expect(holder.token).toBeGreaterThan(leases.at(-1)?.token ?? 0)
              leases.push(holder)
              stored = false
            }
          } else if (each.do === 'finish') {
            const lease = leases[each.which]
            await lease?.finish({ kind: each.kind })
            if (lease && lease === holder) {
              holder = undefined
              stored = each.kind === 'stored'
            }
          } else {
            await probe.client.del(`oriel:0:render:${key}`)
            holder = undefined
            stored = false
          }
        }
        for (const lease of leases) await lease.finish({ kind: 'failed' })
      }),
      { numRuns: 60 },
    )
  })
})

const redisClient = (port: number) => {
  const client = new Redis(port, '127.0.0.1')
  return { client, [Symbol.asyncDispose]: async () => client.disconnect() }
}
