import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import type { FlatHeaders } from '../../src/delivery/headers.ts'
import { readyHead, sendReady } from '../../src/delivery/ready-head.ts'

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

/** Everything that a server with this listener sends to `request`, until it closes or has said nothing for a moment. */
const exchange = async (listener: RequestListener, request: string): Promise<string> => {
  const server = createServer({ keepAliveTimeout: 65_000 }, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => server.close().closeAllConnections())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
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

describe('a ready head', () => {
  const get = (rest = '') => `GET / HTTP/1.1\r\nHost: a\r\n${rest}\r\n`
  it.for([
    ['a request', get()],
    ['two in one packet', get() + get()],
    ['a client that closes', get('Connection: close\r\n')],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n'],
    ['HTTP/1.0 that keeps', 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'],
    ['an expectation', get('Expect: 100-continue\r\n')],
    ['HEAD', 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ] as const)('is on the wire what writeHead makes of the same: %s', async ([, request]) => {
    const hit = readyHead(200, HEADERS)
    const unchanged = readyHead(304, ['ETag', '"e"'])
    const body = request.startsWith('HEAD') ? undefined : BODY
    const pairs: [RequestListener, RequestListener][] = [
      [
        (_, response) => sendReady(response, hit, VARYING, body),
        (_, response) => void response.writeHead(200, [...HEADERS, ...VARYING]).end(body),
      ],
      [
        (_, response) => sendReady(response, unchanged, [], undefined),
        (_, response) => void response.writeHead(304, ['ETag', '"e"']).end(),
      ],
    ]
    for (const [ready, plain] of pairs) {
      const [ours, nodes] = await Promise.all([exchange(ready, request), exchange(plain, request)])
      expect(canonical(ours)).toEqual(canonical(nodes))
      expect(ours).toContain('ETag: "e"\r\n')
    }
  })

  it('takes no line break, and no name that is none', () => {
    expect(() => readyHead(200, ['ETag', '"e"\r\nSet-Cookie: a=b'])).toThrow(/Invalid character in header content/)
    expect(() => readyHead(200, ['E Tag', '"e"'])).toThrow(/must be a valid HTTP token/)
  })
})
