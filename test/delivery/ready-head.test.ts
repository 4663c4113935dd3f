import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import type { FlatHeaders } from '../../src/delivery/headers.ts'
import { createSendReady, readyHead } from '../../src/delivery/ready-head.ts'

const HEADERS: FlatHeaders = [
  'ETag',
  '"e"',
  'Content-Length',
  '5',
  'Vary',
  'Accept',
  'X-Content-Type-Options',
  'nosniff',
]
const VARYING: FlatHeaders = ['Cache-Control', 'public, max-age=3']
const BODY = Buffer.from('bytes')

const open: (() => void)[] = []
afterAll(() => {
  for (const close of open) close()
})

/** A server with this listener, until the tests end. @returns its port. */
const serve = async (listener: RequestListener): Promise<number> => {
  const server = createServer({ keepAliveTimeout: 65_000 }, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => server.close().closeAllConnections())
  return (server.address() as AddressInfo).port
}

/** Everything that a server with this listener sends to each of `requests`, until it closes or has said nothing for a moment. */
const exchange = async (listener: RequestListener, requests: readonly string[]): Promise<string[]> => {
  const port = await serve(listener)
  const answers: string[] = []
  for (const request of requests) answers.push(await ask(port, request))
  return answers
}

const ask = async (port: number, request: string): Promise<string> => {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  socket.write(request)
  await new Promise((resolve) => socket.once('close', resolve).setTimeout(150, () => resolve(undefined)))
  socket.destroy()
  return text
}

/** Without the second it was sent in; head lines in an order of their own, for their order means nothing. */
const canonical = (text: string): string[] =>
  text.split(/(?=HTTP\/1\.1 )/).map((message) => {
    const [head = '', ...body] = message.split('\r\n\r\n')
    const [line = '', ...fields] = head.replace(/Date: [^\r]+/, 'Date: now').split('\r\n')
    return [line, ...fields.toSorted(), '', ...body].join('\n')
  })

const get = (rest = '') => `GET / HTTP/1.1\r\nHost: a\r\n${rest}\r\n`
const REQUESTS = {
  'a request': get(),
  'two in one packet': get() + get(),
  'a client that closes': get('Connection: close\r\n'),
  'one that goes on, after it': get(),
  'HTTP/1.0': 'GET / HTTP/1.0\r\n\r\n',
  'HTTP/1.0 that keeps': 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
  'an expectation': get('Expect: 100-continue\r\n'),
  HEAD: 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
  'one more': get(),
}

describe('a ready head', () => {
  const sendReady = createSendReady()
  const hit = readyHead(200, HEADERS)
  const unchanged = readyHead(304, ['ETag', '"e"'])
  const bodyFor = (method: string | undefined) => (method === 'HEAD' ? undefined : BODY)

  it.for([
    [
      'a hit',
      (request, response) => sendReady(response, hit, VARYING, bodyFor(request.method), Date.now()),
      (request, response) => void response.writeHead(200, [...HEADERS, ...VARYING]).end(bodyFor(request.method)),
    ],
    [
      'unchanged',
      (_, response) => sendReady(response, unchanged, [], undefined, Date.now()),
      (_, response) => void response.writeHead(304, ['ETag', '"e"']).end(),
    ],
  ] as [string, RequestListener, RequestListener][])(
    'is on the wire what writeHead makes of the same: %s',
    async ([, ready, plain]) => {
      const requests = Object.values(REQUESTS)
      const [ours, nodes] = await Promise.all([exchange(ready, requests), exchange(plain, requests)])
      for (const [i, name] of Object.keys(REQUESTS).entries()) {
        const [mine = '', theirs = ''] = [ours[i], nodes[i]]
        expect([name, ...canonical(mine)]).toEqual([name, ...canonical(theirs)])
        expect(mine).toContain('ETag: "e"\r\n')
      }
    },
  )

  it('has the date of its second, and of the next in the next', async () => {
    const dates: string[] = []
    const listener: RequestListener = (_, response) => sendReady(response, unchanged, [], undefined, Date.now())
    const port = await serve(listener)
    for (const ms of [0, 0, 1_100, 0]) {
      await new Promise((resolve) => setTimeout(resolve, ms))
      const before = Date.now()
      const answer = await fetch(`http://127.0.0.1:${port}/`)
      const date = answer.headers.get('date') ?? ''
      dates.push(date)
      // To the second, and node's own clock of dates may be one behind.
      expect(Date.parse(date)).toBeGreaterThan(before - 2_000)
      expect(Date.parse(date)).toBeLessThanOrEqual(Date.now())
    }
    expect(dates[3]).not.toBe(dates[0])
  })

  it('takes no line break, and no name that is none', () => {
    expect(() => readyHead(200, ['ETag', '"e"\r\nSet-Cookie: a=b'])).toThrow(/Invalid character in header content/)
    expect(() => readyHead(200, ['E Tag', '"e"'])).toThrow(/must be a valid HTTP token/)
  })
})
