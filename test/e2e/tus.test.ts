/** tus 1.0 as its own client speaks it, over connections that are cut. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Upload } from 'tus-js-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, type AssetJson, json, type Origin, startOrigin } from './origin.ts'

const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))
const sha = (algorithm: string, bytes: Uint8Array, encoding: 'hex' | 'base64' = 'hex') =>
  createHash(algorithm).update(bytes).digest(encoding)

/** The photo and as many bytes behind it, which decoders pass over; no two places alike, so that a byte lost or sent twice is seen. */
const fileOf = (bytes: number, seed: number): Buffer<ArrayBuffer> => {
  const file = Buffer.alloc(bytes, seed)
  for (let at = 0; at + 4 <= bytes; at += 4) file.writeUInt32LE((Math.imul(at, 2_654_435_761) ^ seed) >>> 0, at)
  photo.copy(file)
  return file
}

/** Passes bytes on until a random number of them, then cuts the line without a word; `cuts` times. */
const startCuttingProxy = async (port: number, cuts: number, most: number) => {
  let left = cuts
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const up = connect(port, '127.0.0.1')
    for (const socket of [client, up]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => sockets.delete(socket))
    }
    const end = () => {
      client.destroy()
      up.destroy()
    }
    client.on('close', end)
    up.on('close', end)
    const limit = 2_000 + Math.random() * most
    let passed = 0
    let cut = false
    client.on('data', (chunk: Buffer) => {
      // What comes before the line is down is lost: passed on, it would leave a hole in what the server was sent.
      if (cut) return
      passed += chunk.length
      if (passed > limit && left > 0) {
        left -= 1
        cut = true
        up.write(chunk.subarray(0, chunk.length >> 1), end)
      } else if (!up.write(chunk)) client.pause()
    })
    up.on('drain', () => client.resume())
    up.pipe(client)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    cutsLeft: () => left,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Sent {
  readonly url: string
  readonly assetId: string | undefined
}

const send = (origin: Origin, port: number, file: Buffer, options: { chunkSize?: number; direct?: boolean } = {}) =>
  new Promise<Sent>((resolve, reject) => {
    let assetId: string | undefined
    const upload = new Upload(file, {
      endpoint: `http://127.0.0.1:${port}/files`,
      headers: { Authorization: `Bearer ${ADMIN_KEY}` },
      metadata: { filename: 'sea.jpg', filetype: 'image/jpeg', title: 'Sea', visibility: 'private', relativePath: 'x' },
      retryDelays: Array(60).fill(50),
      chunkSize: options.chunkSize ?? Number.POSITIVE_INFINITY,
      uploadDataDuringCreation: options.direct ?? false,
      // What Location says is the origin's own address: the line to it stays the one that is cut.
      onBeforeRequest: () => {
        if (upload.url) upload.url = upload.url.replace(new URL(origin.url).host, `127.0.0.1:${port}`)
      },
      onAfterResponse: (_request, response) => {
        assetId ??= response.getHeader('Oriel-Asset-Id')
      },
      onError: reject,
      onSuccess: () => resolve({ url: upload.url ?? '', assetId }),
    })
    upload.start()
  })

describe('tus', () => {
  let origin: Origin
  beforeAll(async () => {
    origin = await startOrigin({ env: { ORIEL_ANALYTICS: 'off' } })
  })
  afterAll(() => origin[Symbol.asyncDispose]())
  const port = () => Number(new URL(origin.url).port)
  const call = (path: string, method: string, headers: Record<string, string> = {}, body?: Buffer<ArrayBuffer>) =>
    origin.api(path, { method, headers: { 'Tus-Resumable': '1.0.0', ...headers }, ...(body && { body }) })
  const begin = async (bytes: number, headers: Record<string, string> = {}): Promise<string> => {
    const answer = await call('/files', 'POST', { 'Upload-Length': String(bytes), ...headers })
    expect(answer.status).toBe(201)
    return new URL(answer.headers.get('location') ?? '').pathname
  }
  const patch = (path: string, offset: number, body: Buffer<ArrayBuffer>, headers: Record<string, string> = {}) =>
    call(
      path,
      'PATCH',
      { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream', ...headers },
      body,
    )
  const offsetOf = async (path: string) => (await call(path, 'HEAD')).headers.get('upload-offset')

  it.for([
    ['in one request', {}],
    ['with the data in its creation', { direct: true }],
    ['in requests of 100 kB', { chunkSize: 100_000 }],
  ] satisfies [string, { direct?: boolean; chunkSize?: number }][])('sends a file %s', async ([how, options]) => {
    const file = fileOf(photo.length + 50_000, how.length)
    const { assetId, url } = await send(origin, port(), file, options)
    const asset = await json<AssetJson & { filename: string; title: string }>(await origin.api(`/assets/${assetId}`))
    expect(asset).toMatchObject({ hash: sha('sha256', file), filename: 'sea.jpg', title: 'Sea', visibility: 'private' })
    const id = url.split('/').at(-1)
    expect(await json(await origin.api(`/uploads/${id}`))).toMatchObject({
      state: 'done',
      protocol: 'tus',
      asset_id: assetId,
    })
  })

  it('goes on after each of many cuts, at random points, and ends with the same bytes', async () => {
    const file = fileOf(24 * 1024 * 1024, 7)
    await using proxy = await startCuttingProxy(port(), 12, 4 * 1024 * 1024)
    const { assetId, url } = await send(origin, proxy.port, file)
    expect(proxy.cutsLeft()).toBeLessThan(12)
    const head = await call(new URL(url).pathname, 'HEAD')
    const made = assetId ?? head.headers.get('oriel-asset-id')
    expect(await json<AssetJson>(await origin.api(`/assets/${made}`))).toMatchObject({ hash: sha('sha256', file) })
    expect(head.headers.get('upload-metadata')).toContain('filename ')
    await expect.poll(() => readdir(join(origin.data, 'sessions'))).toEqual([])
  })

  it('says what it can', async () => {
    const answer = await fetch(`${origin.url}/files`, { method: 'OPTIONS' })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('tus-extension')).toBe('creation,creation-with-upload,expiration,termination,checksum')
    expect(answer.headers.get('tus-checksum-algorithm')).toBe('sha1,sha256,md5')
    expect(answer.headers.get('tus-max-size')).toBe(String(50 * 1024 ** 3))
    expect((await call('/files', 'POST', { 'Upload-Length': '10' })).headers.get('upload-expires')).toMatch(/GMT$/)
  })

  it.for(['sha1', 'sha256', 'md5'])('takes what has the %s that it should, and nothing else', async (algorithm) => {
    const path = await begin(photo.length, {})
    const half = photo.subarray(0, 100_000) as Buffer<ArrayBuffer>
    const wrong = `${algorithm} ${sha(algorithm, Buffer.from('x'), 'base64')}`
    expect((await patch(path, 0, half, { 'Upload-Checksum': wrong })).status).toBe(460)
    expect(await offsetOf(path)).toBe('0')
    const right = `${algorithm} ${sha(algorithm, half, 'base64')}`
    expect((await patch(path, 0, half, { 'Upload-Checksum': right })).status).toBe(204)
    expect(await offsetOf(path)).toBe('100000')
    expect((await patch(path, 100_000, half, { 'Upload-Checksum': 'crc32 AAAAAAAAAAAAAAAAAAAAAAAA' })).status).toBe(400)
    expect((await call(path, 'DELETE')).status).toBe(204)
    expect((await call(path, 'HEAD')).status).toBe(410)
  })

  it('refuses what is not its next byte, coded bytes, a stranger, an empty file, one that is too large, and another protocol', async () => {
    const path = await begin(100)
    expect((await patch(path, 5, Buffer.alloc(10))).status).toBe(409)
    expect((await patch(path, 0, Buffer.alloc(10), { 'Content-Encoding': 'gzip' })).status).toBe(415)
    const stranger = await fetch(origin.url + path, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
    expect([stranger.status, stranger.headers.get('tus-resumable')]).toEqual([401, '1.0.0'])
    expect((await call('/files/u_0000000000000000000000', 'HEAD')).status).toBe(404)
    expect((await call('/files', 'POST', { 'Upload-Length': '0' })).status).toBe(400)
    expect((await call('/files', 'POST', { 'Upload-Length': String(51 * 1024 ** 3) })).status).toBe(413)
    const unversioned = await origin.api(path, { method: 'HEAD' })
    expect([unversioned.status, unversioned.headers.get('tus-version')]).toEqual([412, '1.0.0'])
    const id = path.split('/').at(-1)
    expect((await origin.api(`/uploads/${id}/chunks/0`, { method: 'PUT', body: Buffer.alloc(100) })).status).toBe(409)
  })

  it.for([
    ['an id that cannot be', 404, '/files/%00', {}],
    ['an id that is no text', 404, '/files/%E0%A4%A', {}],
    ['an offset that is not its own', 409, undefined, { 'Upload-Offset': '5' }],
    ['another version', 412, undefined, { 'Tus-Resumable': '9' }],
    ['another type', 415, undefined, { 'Content-Type': 'image/jpeg' }],
    [
      'other bytes than were promised',
      460,
      undefined,
      { 'Upload-Checksum': `md5 ${sha('md5', Buffer.from('y'), 'base64')}` },
    ],
  ] as const)('refuses %s by a problem', async ([, status, path, headers]) => {
    const refused = await patch(path ?? (await begin(100)), 0, Buffer.from('x'), headers)
    expect([refused.status, refused.headers.get('content-type'), refused.headers.get('tus-resumable')]).toEqual([
      status,
      'application/problem+json',
      '1.0.0',
    ])
    expect(await json(refused)).toMatchObject({
      status,
      detail: expect.stringMatching(/\w/),
      title: expect.any(String),
    })
  })

  it('refuses more bytes than were promised, of a length that is not known before too', async () => {
    const path = await begin(100)
    expect((await patch(path, 0, Buffer.alloc(101))).status).toBe(413)
    const body = new Blob([Buffer.alloc(101)]).stream()
    const headers = {
      'Tus-Resumable': '1.0.0',
      'Upload-Offset': '0',
      'Content-Type': 'application/offset+octet-stream',
    }
    const init = { method: 'PATCH', headers, body, duplex: 'half' } as RequestInit
    expect((await origin.api(path, init)).status).toBe(413)
  })

  it('takes a POST for what it is meant to be, a query for none of the id, and says its version of a stranger’s id too', async () => {
    const path = await begin(photo.length)
    const meant = { 'X-HTTP-Method-Override': 'PATCH', 'Content-Type': 'application/offset+octet-stream' }
    const sent = await call(path, 'POST', { ...meant, 'Upload-Offset': '0' }, photo.subarray(0, 1000))
    expect([sent.status, sent.headers.get('upload-offset')]).toEqual([204, '1000'])
    expect((await call(`${path}?x=1`, 'HEAD')).headers.get('upload-offset')).toBe('1000')
    expect((await call(path, 'POST', { 'X-HTTP-Method-Override': 'PUT' })).status).toBe(405)
    expect((await call(path, 'POST', { 'X-HTTP-Method-Override': 'DELETE' })).status).toBe(204)
    const none = await call('/files/u_0000000000000000000000', 'HEAD')
    expect([none.status, none.headers.get('tus-resumable')]).toEqual([404, '1.0.0'])
  })

  it('says why bytes are no picture, and says it again', async () => {
    const text = Buffer.from('no picture at all, whatever the name')
    const path = await begin(text.length)
    const refused = await patch(path, 0, text)
    expect([refused.status, refused.headers.get('tus-resumable')]).toEqual([415, '1.0.0'])
    expect(refused.headers.get('content-type')).toContain('application/problem+json')
    expect((await call(path, 'HEAD')).status).toBe(415)
  })

  it('lets a client that comes back have the lock that its dead connection holds', async () => {
    // As much as the server writes to its disk in one go: what is there has been taken in, and nothing is on its way.
    const brought = 512 * 1024
    const file = fileOf(photo.length + brought, 1)
    const path = await begin(file.length)
    const socket = connect(port(), '127.0.0.1')
    socket.on('error', () => undefined)
    const head = [
      `PATCH ${path} HTTP/1.1`,
      `Host: 127.0.0.1`,
      `Authorization: Bearer ${ADMIN_KEY}`,
      'Tus-Resumable: 1.0.0',
      'Upload-Offset: 0',
      'Content-Type: application/offset+octet-stream',
      `Content-Length: ${file.length}`,
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    socket.write(file.subarray(0, brought))
    const there = () =>
      readFile(join(origin.data, 'sessions', path.split('/').at(-1) ?? '')).catch(() => Buffer.alloc(0))
    await expect.poll(async () => (await there()).subarray(0, brought).equals(file.subarray(0, brought))).toBe(true)
    // The line hangs: neither bytes nor an end. What it brought counts.
    expect(await offsetOf(path)).toBe(String(brought))
    expect((await patch(path, brought, file.subarray(brought))).headers.get('oriel-asset-id')).toMatch(/^a_/)
    socket.destroy()
  })

  it('makes the asset when the process that had the last byte died before it did', async () => {
    await using first = await startOrigin({ env: { ORIEL_ANALYTICS: 'off' } })
    const file = fileOf(9 * 1024 * 1024, 3)
    const headers = { 'Tus-Resumable': '1.0.0' }
    const begun = await first.api('/files', {
      method: 'POST',
      headers: { ...headers, 'Upload-Length': String(file.length) },
    })
    const path = new URL(begun.headers.get('location') ?? '').pathname
    const type = { 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': '0' }
    const dying = first
      .api(path, { method: 'PATCH', headers: { ...headers, ...type }, body: file })
      .catch(() => undefined)
    await expect
      .poll(async () => (await json<{ offset: number }>(await first.api(path.replace('files', 'uploads')))).offset, {
        interval: 1,
      })
      .toBe(file.length)
    await first.stop('SIGKILL')
    await dying
    await using second = await startOrigin({ data: first.data, env: { ORIEL_ANALYTICS: 'off' } })
    const found = await second.api(path, { method: 'HEAD', headers })
    expect([found.status, found.headers.get('upload-offset')]).toEqual([200, String(file.length)])
    const id = found.headers.get('oriel-asset-id')
    expect(await json<AssetJson>(await second.api(`/assets/${id}`))).toMatchObject({ hash: sha('sha256', file) })
  })
})
