import { once } from 'node:events'
import { createServer, type IncomingMessage, request as open, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRouter } from '../../src/http/context.ts'
import { createJsonBody } from '../../src/http/json-body.ts'
import { problemResponse } from '../../src/http/problem.ts'

const LIMIT = 100

const app = createRouter()
app.onError((error) => problemResponse(error, 'test'))
app.post('/', createJsonBody({ maxBytes: LIMIT, deadlineMs: 60_000 }), async (c) => c.json(await c.req.json()))
app.post('/soon', createJsonBody({ maxBytes: LIMIT, deadlineMs: 300 }), async (c) => c.json(await c.req.json()))

let server: Server
beforeAll(async () => {
  const listener = getRequestListener(app.fetch)
  server = createServer((request, response) => void listener(request, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** Sends the pieces, and ends the body only if it is `whole`. */
const send = async (pieces: readonly string[], whole: boolean, type = 'application/json', path = '/') => {
  const { port } = server.address() as AddressInfo
  const call = open({ port, host: '127.0.0.1', method: 'POST', path, headers: { 'Content-Type': type } })
  call.on('error', () => undefined)
  for (const piece of pieces) call.write(piece)
  if (whole) call.end()
  else call.flushHeaders()
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  call.destroy()
  const answer = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>
  return { status: response.statusCode, connection: response.headers.connection, answer }
}

const ofBytes = (bytes: number): string => JSON.stringify('x'.repeat(bytes - 2))

describe('a JSON body', () => {
  it.for(['application/json', 'application/json; charset=utf-8', 'Application/JSON', 'application/merge-patch+json'])(
    'called %s is handed on whole, however it was cut on the way',
    async (type) => {
      expect(await send(['{"a":', '[1,"\u00fc', '"]}'], true, type)).toMatchObject({
        status: 200,
        answer: { a: [1, 'ü'] },
      })
    },
  )

  it.for([
    [LIMIT, 200],
    [LIMIT + 1, 413],
  ] as const)('of %i bytes without a Content-Length is answered with %i', async ([bytes, status]) => {
    const text = ofBytes(bytes)
    expect((await send([text.slice(0, 50), text.slice(50)], true)).status).toBe(status)
  })

  it('over the limit is refused before it ends', async () => {
    expect((await send(['x'.repeat(LIMIT + 1)], false)).status).toBe(413)
  })

  it.for(['', '{"a":'])('that stops after %j is refused at its deadline, and its connection closed', async (sent) => {
    const pieces = sent === '' ? [] : [sent]
    expect(await send(pieces, false, 'application/json', '/soon')).toMatchObject({
      status: 408,
      connection: 'close',
      answer: { status: 408 },
    })
  })
})
