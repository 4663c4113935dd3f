import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { numberedJpeg } from '../../bench/jpegs.ts'
import { createAnswerReader } from '../../bench/load/answer-reader.ts'
import { getRequest } from '../../bench/load/job.ts'
import { runLoad } from '../../bench/load/run-load.ts'

const withServer = async <T>(listener: RequestListener, use: (port: number) => Promise<T>): Promise<T> => {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await use((server.address() as AddressInfo).port)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

describe('answer reader', () => {
  it.for([
    ['a body of known length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 200],
    ['an empty body', 'HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n', 201],
    ['no body', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', 304],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 200],
  ] as const)('finds the end of %s, wherever the bytes are cut', ([, text, status]) => {
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 5 }), (cuts) => {
        const reader = createAnswerReader()
        const edges = [0, ...cuts.toSorted((a, b) => a - b), text.length]
        const pieces = edges.slice(1).map((edge, index) => text.slice(edges[index], edge))
        const statuses = pieces.filter((piece) => piece !== '').map((piece) => reader.push(Buffer.from(piece)))
        expect(statuses.at(-1)).toBe(status)
        expect(statuses.slice(0, -1).every((early) => early === 0)).toBe(true)
      }),
    )
  })
})

describe('load generator', () => {
  it('asks for each of a list once and reads every answer', async () => {
    const seen: string[] = []
    const result = await withServer(
      (request, response) => {
        seen.push(request.url ?? '')
        response.end('hello')
      },
      (port) =>
        runLoad({
          port,
          connections: 3,
          seconds: 30,
          source: { kind: 'list', requests: Array.from({ length: 10 }, (_, index) => getRequest(`/${index}`)) },
        }),
    )
    expect(result.answered).toBe(10)
    expect(result.failures).toEqual({})
    expect(seen.toSorted()).toEqual(Array.from({ length: 10 }, (_, index) => `/${index}`))
  })

  it('counts what was no success by its status', async () => {
    let asked = 0
    const result = await withServer(
      (_request, response) => {
        asked += 1
        response.statusCode = asked % 2 === 0 ? 503 : 200
        response.end()
      },
      (port) =>
        runLoad({
          port,
          connections: 1,
          seconds: 30,
          source: { kind: 'list', requests: Array(4).fill(getRequest('/')) },
        }),
    )
    expect(result).toMatchObject({ answered: 2, failures: { 503: 2 } })
  })

  it('sends about as many a second as it is told, and ends', async () => {
    const source = { kind: 'repeat', request: getRequest('/') } as const
    const result = await withServer(
      (_request, response) => response.end(),
      (port) => runLoad({ port, connections: 4, seconds: 0.2, perSecond: 100, source }),
    )
    expect(result.answered).toBeGreaterThan(0)
    // What a late timer owes is sent with it.
    expect(result.answered).toBeLessThanOrEqual(100 * result.seconds + 1)
  })
})

describe('numbered copies', () => {
  it('differ in bytes and show the same pixels', async () => {
    const jpeg = await sharp({ create: { width: 16, height: 16, channels: 3, background: 'teal' } })
      .jpeg()
      .toBuffer()
    const [one, two] = [numberedJpeg(jpeg, 1), numberedJpeg(jpeg, 2)]
    expect(one.equals(two)).toBe(false)
    const pixels = (bytes: Buffer): Promise<Buffer> => sharp(bytes).raw().toBuffer()
    expect((await pixels(one)).equals(await pixels(jpeg))).toBe(true)
  })
})
