/** Sessions and chunks against a server that cuts, refuses and forgets: `/uploads` as CONTRACT §4 tells it, in this process. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createClient } from '../../src/cli/client.ts'
import { createPlaces } from '../../src/cli/places.ts'
import { type LocalFile, NO_SESSIONS, type Sending, sendChunks, sendWhole } from '../../src/cli/send.ts'
import { createSessionFiles } from '../../src/cli/session-file.ts'
import { createReach } from '../../src/cli/store.ts'

const CHUNK = 1000
const bytes = randomBytes(10 * CHUNK + 17)
const sha256 = createHash('sha256').update(bytes).digest('hex')

interface Stub {
  /** Judges a request before the stub does; true: it has been answered, or cut. */
  before: (request: IncomingMessage, response: ServerResponse) => boolean
  readonly sessions: Map<string, Map<number, Buffer>>
  readonly asked: string[]
}

const answerJson = (response: ServerResponse, status: number, body?: unknown, headers = {}) =>
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(body && JSON.stringify(body))

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const pieces: Buffer[] = []
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece)
  return Buffer.concat(pieces)
}

const handle = async (stub: Stub, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const [, , id = '', action, n] = (request.url ?? '').split('/')
  stub.asked.push(`${request.method} ${(request.url ?? '').replace(id || '-', 'id')}`)
  if (stub.before(request, response)) return
  const body = await bodyOf(request)
  if (request.url === '/uploads') {
    const made = `u_${stub.sessions.size}`
    stub.sessions.set(made, new Map())
    answerJson(response, 201, { upload_session_id: made, chunk_size: CHUNK })
    return
  }
  const chunks = stub.sessions.get(id)
  if (!chunks) return void answerJson(response, 404, { detail: 'no such session' })
  const all = Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, at) => at)
  if (request.method === 'GET')
    return void answerJson(response, 200, {
      state: 'receiving',
      chunk_size: CHUNK,
      missing_chunks: all.filter((at) => !chunks.has(at)),
    })
  if (action === 'chunks') {
    const digest = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
    expect(request.headers['content-digest']).toBe(digest)
    chunks.set(Number(n), body)
    return void response.writeHead(204).end()
  }
  const whole = Buffer.concat(all.map((at) => chunks.get(at) ?? Buffer.alloc(0)))
  const hash = createHash('sha256').update(whole).digest('hex')
  answerJson(response, hash === sha256 ? 201 : 422, { id: 'a_1', hash })
}

const start = async () => {
  const stub: Stub = { before: () => false, sessions: new Map(), asked: [] }
  const server = createServer((request, response) => {
    handle(stub, request, response).catch(() => request.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const folder = await mkdtemp(join(tmpdir(), 'oriel-send-'))
  const path = join(folder, 'a.jpg')
  await writeFile(path, bytes)
  const { port } = server.address() as AddressInfo
  const client = createClient({ url: `http://127.0.0.1:${port}`, key: 'key' }, 8)
  const state = join(folder, 'state')
  let sent = 0
  let there = 0
  const stop = new AbortController()
  const sending: Sending = {
    client,
    sessions: createSessionFiles(state, client.url, () => undefined),
    withPlace: createPlaces(3),
    reach: createReach(),
    persistence: { signal: stop.signal },
    onSent: (n) => {
      sent += n
    },
    onThere: (n) => {
      there += n
    },
  }
  const file: LocalFile = {
    path,
    print: { sha256, bytes: bytes.length },
    details: { filename: 'a.jpg', tags: [], visibility: undefined },
  }
  return {
    stub,
    sending,
    file,
    stop,
    sent: () => [sent, there],
    kept: () => readdir(state).catch(() => []),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true })
    },
  }
}

const isChunk = (request: IncomingMessage) => request.url?.includes('/chunks/') === true

describe('sending in chunks', () => {
  it('sends each once, completes, and keeps nothing', async () => {
    await using given = await start()
    expect(await sendChunks(given.file, given.sending)).toMatchObject({ status: 201, body: { hash: sha256 } })
    expect(given.stub.asked.filter((line) => line.startsWith('PUT'))).toHaveLength(11)
    expect(given.sent()).toEqual([bytes.length, 0])
    expect(await given.kept()).toEqual([])
  })

  it('goes on where an earlier run was stopped', async () => {
    await using given = await start()
    let chunks = 0
    given.stub.before = (request) => {
      if (isChunk(request) && ++chunks > 5) given.stop.abort(new Error('stopped'))
      return false
    }
    await expect(sendChunks(given.file, given.sending)).rejects.toThrow('stopped')
    expect(await given.kept()).toHaveLength(1)
    given.stub.before = () => false
    const received = given.stub.sessions.get('u_0')?.size ?? 0
    expect(received).toBeGreaterThan(0)
    given.stub.asked.length = 0
    const again = { ...given.sending, persistence: { signal: new AbortController().signal } }
    expect(await sendChunks(given.file, again)).toMatchObject({ status: 201 })
    expect(given.stub.asked.filter((line) => line.startsWith('PUT')).length).toBeLessThan(11)
    expect(given.stub.asked).not.toContain('POST /uploads')
    expect(given.sent()[1]).toBeGreaterThan(0)
    expect(given.sent()[0]! + given.sent()[1]!).toBeGreaterThanOrEqual(bytes.length)
  })

  it('sends a chunk again after a cut and after 503, honouring Retry-After', async () => {
    await using given = await start()
    let faults = 0
    given.stub.before = (request, response) => {
      if (!isChunk(request) || faults >= 4) return false
      faults += 1
      if (faults % 2 === 0) request.socket.destroy()
      else answerJson(response, 503, { detail: 'busy' }, { 'Retry-After': '0' })
      return true
    }
    expect(await sendChunks(given.file, given.sending)).toMatchObject({ status: 201, body: { hash: sha256 } })
    expect(faults).toBe(4)
    expect(given.sent()).toEqual([bytes.length, 0])
  })

  it('begins anew when the session has gone, and waits for a completion that goes on', async () => {
    await using given = await start()
    await given.sending.sessions.keep(given.file.print, given.file.details, 'u_gone')
    let waits = 0
    given.stub.before = (request, response) => {
      if (!request.url?.endsWith('/complete') || waits >= 2) return false
      waits += 1
      answerJson(response, 202, { state: 'completing' }, { 'Retry-After': '0' })
      return true
    }
    expect(await sendChunks(given.file, given.sending)).toMatchObject({ status: 201 })
    expect(waits).toBe(2)
  })

  it('gives a refusal back, and stops the other chunks', async () => {
    await using given = await start()
    given.stub.before = (request, response) => {
      if (!isChunk(request)) return false
      answerJson(response, 403, { detail: 'not you' })
      return true
    }
    expect(await sendChunks(given.file, given.sending)).toMatchObject({ status: 403, body: { detail: 'not you' } })
    expect(given.stub.asked.filter((line) => line.startsWith('PUT')).length).toBeLessThanOrEqual(4)
  })

  it('says when a server has no sessions', async () => {
    await using given = await start()
    given.stub.before = (_, response) => {
      answerJson(response, 404, { detail: 'nothing here' })
      return true
    }
    expect(await sendChunks(given.file, given.sending)).toBe(NO_SESSIONS)
  })
})

describe('sending whole', () => {
  it('takes an answer that comes before the body has gone', async () => {
    await using given = await start()
    await writeFile(given.file.path, Buffer.alloc(32 * 1024 * 1024))
    given.stub.before = (_, response) => {
      answerJson(response, 413, { detail: 'too large' }, { Connection: 'close' })
      return true
    }
    const file = { ...given.file, print: { sha256, bytes: 32 * 1024 * 1024 } }
    expect(await sendWhole(file, given.sending)).toMatchObject({ status: 413, body: { detail: 'too large' } })
    expect(given.sent()[0]).toBe(0)
  })

  it('takes another key when the asset of the first was deleted', async () => {
    await using given = await start()
    const keys: unknown[] = []
    given.stub.before = (request, response) => {
      keys.push(request.headers['idempotency-key'])
      request.resume().on('end', () => answerJson(response, keys.length < 3 ? 410 : 201, { id: 'a_1', hash: sha256 }))
      return true
    }
    expect(await sendWhole(given.file, given.sending)).toMatchObject({ status: 201 })
    expect(new Set(keys).size).toBe(3)
  })

  it('uses one key for every attempt, and names a file that became shorter', async () => {
    await using given = await start()
    const keys: unknown[] = []
    given.stub.before = (request, response) => {
      keys.push(request.headers['idempotency-key'])
      if (keys.length < 3) request.socket.destroy()
      else request.resume().on('end', () => answerJson(response, 201, { id: 'a_1', hash: sha256 }))
      return true
    }
    expect(await sendWhole(given.file, given.sending)).toMatchObject({ status: 201 })
    expect(keys).toHaveLength(3)
    expect(new Set(keys).size).toBe(1)
    const longer = { ...given.file, print: { sha256, bytes: bytes.length + 1 } }
    await expect(sendWhole(longer, given.sending)).rejects.toThrow('the file became shorter')
  })
})
