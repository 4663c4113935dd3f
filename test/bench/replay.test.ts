import { describe, expect, it } from 'vitest'
import { imageRequests } from '../../bench/replay.ts'

const hashes = ['a', 'b', 'c'].map((letter) => letter.repeat(64))
const devices = [
  { ua: 'one', accept: 'image/avif', hints: { dpr: '2' } },
  { ua: 'two', accept: null, hints: {} },
]
const log = Array.from({ length: 40 }, (_, at) => ({ object: String((at * 7) % 20), device: `client ${at % 5}` }))

describe('a log replayed as image requests', () => {
  const requests = imageRequests(log, hashes, devices)

  it('asks for the same URL where the log asks for the same object, and for another as long as there are others', () => {
    const urls = new Map(log.map(({ object }, at) => [object, requests[at]?.path]))
    for (const [at, { object }] of log.entries()) expect(requests[at]?.path).toBe(urls.get(object))
    // 3 pictures at 6 widths: the last 2 of 20 objects share the first two URLs.
    expect(new Set(urls.values()).size).toBe(18)
  })

  it('is the same each time, with each client as one device', () => {
    expect(imageRequests(log, hashes, devices)).toEqual(requests)
    const agents = log.map(({ device }, at) => `${device} ${requests[at]?.headers['User-Agent']}`)
    expect(new Set(agents).size).toBe(5)
    for (const { headers } of requests) expect('Accept' in headers).toBe(headers['User-Agent'] === 'one')
  })
})
