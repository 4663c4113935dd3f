import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createHttpEdgePurger } from '../../src/coordination/http-edge-purger.ts'
import { createInProcessLocker } from '../../src/coordination/in-process.ts'
import { createPurgeRetries } from '../../src/coordination/purge-retries.ts'
import { parseDigest } from '../../src/core/ids.ts'

const digestOf = (seed: number) => parseDigest(seed.toString(16).padStart(64, '0'))

/** An edge that answers with the next status given, and remembers what it was asked. */
const startEdge = async (...statuses: readonly number[]) => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${String(request.headers['x-oriel-purge-key'])}`)
    response.writeHead(statuses[asked.length - 1] ?? 204).end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    asked,
    address: `http://127.0.0.1:${port}/purge`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const until = async (holds: () => boolean) => {
  for (let tries = 0; tries < 1_000 && !holds(); tries++) await sleep(10)
  expect(holds()).toBe(true)
}

const marksInMemory = () => {
  const marked = new Set<string>()
  return {
    marked,
    has: async (digest: string) => marked.has(digest),
    add: async (digest: string) => void marked.add(digest),
    remove: async (digest: string) => void marked.delete(digest),
  }
}

describe('edges told over HTTP', () => {
  it('are all asked, with the key, and the receipt says of each what it answered', async () => {
    await using good = await startEdge(201)
    await using bad = await startEdge(403)
    const down = 'http://127.0.0.1:9/purge'
    const faults: string[] = []
    using purger = createHttpEdgePurger(
      { addresses: [good.address, bad.address, down], key: 'a-key-of-the-edges' },
      {
        isHidden: async () => true,
        marks: marksInMemory(),
        locker: createInProcessLocker(),
        onFault: (address, outcome) => faults.push(`${address} ${outcome}`),
      },
    )
    const digest = digestOf(1)
    expect(await purger.follow(digest, 'changed')).toEqual({
      tiers: { [good.address]: 'confirmed', [bad.address]: 'refused', [down]: 'unreachable' },
    })
    expect(good.asked).toEqual([`PUT /purge/${digest} a-key-of-the-edges`])
    expect(faults.sort()).toEqual([`${bad.address} refused`, `${down} unreachable`].sort())
    // The one that refused is asked again; whoever purges meanwhile does not wait for one that is known to fail.
    expect(purger.stats()).toMatchObject({ confirmed: 1, failed: 2, pending: 2, dropped: 0 })
    expect((await purger.follow(digestOf(2), 'changed')).tiers[down]).toBe('unreachable')
    await until(() => bad.asked.length >= 3)
    await until(() => purger.stats().pending === 2)
    expect(bad.asked.slice(1).map((line) => line.split(' ')[1])).toEqual([`/purge/${digest}`, `/purge/${digestOf(2)}`])
  })
})

describe('what an edge is told', () => {
  const open = (address: string, isHidden: () => Promise<boolean>, marks = marksInMemory()) =>
    createHttpEdgePurger(
      { addresses: [address], key: 'a-key-of-the-edges' },
      { isHidden, marks, locker: createInProcessLocker(), onFault: () => undefined },
    )
  const methods = (edge: { readonly asked: readonly string[] }) => edge.asked.map((line) => line.split(' ')[0])

  it('is what is so when it is sent, and nothing where nothing was hidden', async () => {
    let hidden = false
    await using edge = await startEdge(204, 404)
    const marks = marksInMemory()
    using purger = open(edge.address, async () => hidden, marks)
    for (const change of ['added', 'changed'] as const)
      expect(await purger.follow(digestOf(1), change)).toEqual({ tiers: {} })
    hidden = true
    // A private asset that was uploaded hides nothing.
    expect(await purger.follow(digestOf(1), 'added')).toEqual({ tiers: {} })
    expect(methods(edge)).toEqual([])
    expect(await purger.follow(digestOf(1), 'changed')).toEqual({ tiers: { [edge.address]: 'confirmed' } })
    hidden = false
    expect(await purger.follow(digestOf(1), 'added')).toEqual({ tiers: { [edge.address]: 'confirmed' } })
    expect(await purger.follow(digestOf(1), 'changed')).toEqual({ tiers: {} })
    expect(methods(edge)).toEqual(['PUT', 'DELETE'])
    expect(marks.marked.size).toBe(0)
  })

  it('is told by whichever origin shows the picture again, also after the one that hid it has gone', async () => {
    let hidden = true
    await using edge = await startEdge()
    const marks = marksInMemory()
    using one = open(edge.address, async () => hidden, marks)
    await one.follow(digestOf(1), 'changed')
    one[Symbol.dispose]()
    hidden = false
    using two = open(edge.address, async () => hidden, marks)
    await two.follow(digestOf(1), 'added')
    expect(methods(edge)).toEqual(['PUT', 'DELETE'])
  })

  it('is told again at the next change where it did not confirm that it keeps the picture', async () => {
    let hidden = true
    await using edge = await startEdge(204, 500)
    const marks = marksInMemory()
    using purger = open(edge.address, async () => hidden, marks)
    await purger.follow(digestOf(1), 'changed')
    hidden = false
    expect((await purger.follow(digestOf(1), 'added')).tiers[edge.address]).toBe('refused')
    await until(() => edge.asked.length >= 3 && purger.stats().pending === 0)
    await purger.follow(digestOf(1), 'changed')
    expect([methods(edge), marks.marked.size]).toEqual([['PUT', 'DELETE', 'DELETE', 'DELETE'], 0])
  })

  it('is to forget, where it cannot be known what is so, until it is known', async () => {
    let known = false
    await using edge = await startEdge()
    using purger = open(edge.address, async () => {
      if (!known) throw new Error('no database')
      return false
    })
    await purger.follow(digestOf(1), 'added')
    expect(methods(edge)).toEqual([])
    await purger.follow(digestOf(1), 'changed')
    known = true
    await until(() => methods(edge).at(-1) === 'DELETE')
    expect(methods(edge)[0]).toBe('PUT')
  })

  it('ends as it should however changes of one hash overlap', async () => {
    for (let seed = 0; seed < 20; seed++) {
      let hidden = false
      let told = 'nothing'
      const server = createServer((request, response) => {
        setTimeout(
          () => {
            told = request.method ?? ''
            response.writeHead(204).end()
          },
          (seed * 7) % 5,
        )
      })
      await once(server.listen(0, '127.0.0.1'), 'listening')
      const { port } = server.address() as AddressInfo
      const locker = createInProcessLocker()
      const isHidden = async () => hidden
      const marks = marksInMemory()
      const origins = [1, 2].map(() =>
        createHttpEdgePurger(
          { addresses: [`http://127.0.0.1:${port}`], key: 'a-key-of-the-edges' },
          { isHidden, marks, locker, onFault: () => undefined },
        ),
      )
      const calls = Array.from({ length: 6 }, async (_, turn) => {
        await sleep((turn * seed) % 4)
        hidden = turn % 2 === seed % 2
        await origins[turn % 2]?.follow(digestOf(1), hidden ? 'changed' : 'added')
      })
      await Promise.all(calls)
      expect(told === 'PUT').toBe(hidden)
      for (const origin of origins) origin[Symbol.dispose]()
      server.closeAllConnections()
      server.close()
    }
  })
})

const NOBODY = () => undefined

describe('purges to be tried again', () => {
  it('count what is being told as pending, until that has an end', async () => {
    const answer = Promise.withResolvers<boolean>()
    const begun = Promise.withResolvers<void>()
    using retries = createPurgeRetries(
      () => {
        begun.resolve()
        return answer.promise
      },
      () => {},
    )
    retries.add(digestOf(1))
    await begun.promise
    expect(retries.pending).toBe(1)
    retries.add(digestOf(1))
    expect(retries.pending).toBe(1)
    answer.resolve(true)
    await until(() => retries.pending === 0)
  })

  it('are given up, and told of, when the edge can have nothing left to forget', async () => {
    const DAY_MS = 86_400_000
    let now = 0
    const told: string[] = []
    let tries = 0
    const attempt = async () => {
      tries += 1
      now += 20 * DAY_MS
      return false
    }
    using retries = createPurgeRetries(
      attempt,
      (digest, ms) => told.push(`${digest} ${ms / DAY_MS}`),
      () => now,
    )
    retries.add(digestOf(1))
    await until(() => retries.pending === 0)
    expect([tries, retries.expired, told]).toEqual([2, 1, [`${digestOf(1)} 40`]])
  })

  it('are bounded, the oldest go first, and a hash waits once', async () => {
    using retries = createPurgeRetries(async () => false, NOBODY)
    for (let seed = 0; seed < 10_050; seed++) retries.add(digestOf(seed))
    for (let seed = 10_000; seed < 10_050; seed++) retries.add(digestOf(seed))
    expect([retries.pending, retries.dropped]).toEqual([10_000, 50])
  })

  it('are tried until they are confirmed, each once more after that if it comes again meanwhile', async () => {
    const tried: string[] = []
    const answers = [false, true, true]
    using retries = createPurgeRetries(async (digest) => {
      tried.push(digest)
      if (tried.length === 2) retries.add(digest)
      return answers[tried.length - 1] ?? true
    }, NOBODY)
    retries.add(digestOf(1))
    await until(() => retries.pending === 0 && tried.length === 3)
    expect(tried).toEqual([digestOf(1), digestOf(1), digestOf(1)])
  })
})
