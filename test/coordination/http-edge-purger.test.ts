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
        locker: createInProcessLocker(),
        onFault: (address, outcome) => faults.push(`${address} ${outcome}`),
      },
    )
    const digest = digestOf(1)
    expect(await purger.purge(digest)).toEqual({
      tiers: { [good.address]: 'confirmed', [bad.address]: 'refused', [down]: 'unreachable' },
    })
    expect(good.asked).toEqual([`PUT /purge/${digest} a-key-of-the-edges`])
    expect(faults.sort()).toEqual([`${bad.address} refused`, `${down} unreachable`].sort())
    // The one that refused is asked again; whoever purges meanwhile does not wait for one that is known to fail.
    expect(purger.stats()).toMatchObject({ confirmed: 1, failed: 2, pending: 2, dropped: 0 })
    expect((await purger.purge(digestOf(2))).tiers[down]).toBe('unreachable')
    await until(() => bad.asked.length >= 3)
    await until(() => purger.stats().pending === 2)
    expect(bad.asked.slice(1).map((line) => line.split(' ')[1])).toEqual([`/purge/${digest}`, `/purge/${digestOf(2)}`])
  })
})

describe('what an edge is told', () => {
  const open = (address: string, isHidden: () => Promise<boolean>) =>
    createHttpEdgePurger(
      { addresses: [address], key: 'a-key-of-the-edges' },
      { isHidden, locker: createInProcessLocker(), onFault: () => undefined },
    )
  const methods = (edge: { readonly asked: readonly string[] }) => edge.asked.map((line) => line.split(' ')[0])

  it('is what is so when it is sent, not what the caller believes', async () => {
    let hidden = false
    await using edge = await startEdge(204, 404)
    using purger = open(edge.address, async () => hidden)
    expect(await purger.purge(digestOf(1))).toEqual({ tiers: {} })
    expect(methods(edge)).toEqual([])
    hidden = true
    expect(await purger.show(digestOf(1))).toEqual({ tiers: {} })
    await purger.purge(digestOf(1))
    hidden = false
    expect(await purger.show(digestOf(1))).toEqual({ tiers: { [edge.address]: 'confirmed' } })
    expect(methods(edge)).toEqual(['PUT', 'DELETE'])
  })

  it('is to forget, where that cannot be known', async () => {
    await using edge = await startEdge()
    using purger = open(edge.address, () => Promise.reject(new Error('no database')))
    await purger.show(digestOf(1))
    await purger.purge(digestOf(1))
    expect(methods(edge)).toEqual(['PUT'])
  })

  it('ends as it should however purges and shows of one hash overlap', async () => {
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
      const origins = [1, 2].map(() =>
        createHttpEdgePurger(
          { addresses: [`http://127.0.0.1:${port}`], key: 'a-key-of-the-edges' },
          { isHidden, locker, onFault: () => undefined },
        ),
      )
      const calls = Array.from({ length: 6 }, async (_, turn) => {
        await sleep((turn * seed) % 4)
        hidden = turn % 2 === seed % 2
        const call = hidden ? 'purge' : 'show'
        await origins[turn % 2]?.[call](digestOf(1))
      })
      await Promise.all(calls)
      expect(told).toBe(hidden ? 'PUT' : 'DELETE')
      for (const origin of origins) origin[Symbol.dispose]()
      server.closeAllConnections()
      server.close()
    }
  })
})

describe('purges to be tried again', () => {
  it('are bounded, the oldest go first, and a hash waits once', async () => {
    using retries = createPurgeRetries(async () => false)
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
    })
    retries.add(digestOf(1))
    await until(() => retries.pending === 0 && tried.length === 3)
    expect(tried).toEqual([digestOf(1), digestOf(1), digestOf(1)])
  })
})
