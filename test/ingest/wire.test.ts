import { readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { serveWritePath } from '../fixtures/served.ts'
import { ADMIN_KEY, asAdmin, picture, type UploadedAsset } from '../fixtures/write-path.ts'

type Served = Awaited<ReturnType<typeof serveWritePath>>

const expectNothingLeft = async ({ folder, metadata, originals }: Served) => {
  // The client may know before the server does.
  await expect.poll(() => readdir(join(folder, 'staging'))).toEqual([])
  for await (const { digest } of originals.list()) expect.unreachable(`${digest} is still stored`)
  expect(await metadata.read.selectFrom('assets').select('id').execute()).toEqual([])
}

const startRaw = (
  port: number,
  headers: readonly string[],
  method = 'POST',
  path: string | undefined = '/assets/upload',
): Socket => {
  const socket = connect(port, '127.0.0.1')
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${ADMIN_KEY}`, ...headers, '', '']
  socket.write(lines.join('\r\n'))
  socket.on('error', () => undefined)
  return socket
}

/** @returns where the first bytes of a resumable upload go. */
const begin = async (url: string, under: '/uploads' | '/files'): Promise<string> => {
  const json = { 'Content-Type': 'application/json' }
  const answer = await fetch(`${url}${under}`, {
    method: 'POST',
    headers: { ...asAdmin, 'Tus-Resumable': '1.0.0', 'Upload-Length': '100000', ...(under === '/uploads' && json) },
    ...(under === '/uploads' && { body: '{"file_name":"a.jpg","file_size":100000,"mime_type":"image/jpeg"}' }),
  })
  const id = answer.headers.get('location')?.split('/').at(-1)
  return under === '/uploads' ? `/uploads/${id}/chunks/0` : `/files/${id}`
}

const statusOf = async (socket: Socket): Promise<number> =>
  Number(/^HTTP\/1\.1 (\d+)/.exec(await text(socket))?.[1] ?? 0)

describe('an upload over the wire', () => {
  it('stores a raw body and a chunked one', async () => {
    await using served = await serveWritePath()
    const body = await picture(1, 800, 600)
    for (const sent of [body, new Blob([body]).stream()]) {
      const response = await fetch(`${served.url}/assets/upload`, {
        method: 'POST',
        headers: { ...asAdmin, 'Content-Type': 'image/jpeg' },
        body: sent,
        duplex: 'half',
      } as RequestInit)
      expect(response.status).toBe(201)
      expect(((await response.json()) as UploadedAsset).bytes).toBe(body.length)
    }
  })

  it.for([
    ['raw', ['Content-Type: image/jpeg', 'Content-Length: 100000'], 'some bytes'],
    ['chunked', ['Content-Type: image/jpeg', 'Transfer-Encoding: chunked'], 'a\r\nsome bytes\r\n'],
    [
      'form',
      ['Content-Type: multipart/form-data; boundary=B', 'Content-Length: 100000'],
      '--B\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nsome bytes',
    ],
  ] as const)('leaves nothing of a %s upload whose client goes away', async ([, headers, start]) => {
    await using served = await serveWritePath()
    const socket = startRaw(served.port, headers)
    socket.write(start)
    await expect.poll(() => served.ingest.stats.admission.running).toBe(1)
    socket.destroy()
    await expectNothingLeft(served)
    await expect.poll(() => served.ingest.stats.admission).toMatchObject({ running: 0, bytesInFlight: 0 })
  })

  it.for([
    ['raw', ['Content-Type: image/jpeg', 'Content-Length: 100000'], 'some bytes'],
    [
      'form',
      ['Content-Type: multipart/form-data; boundary=B', 'Content-Length: 100000'],
      '--B\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nsome bytes',
    ],
  ] as const)('ends a %s upload that stalls, and closes its connection', async ([, headers, start]) => {
    await using served = await serveWritePath({ idleMs: 150 })
    const socket = startRaw(served.port, headers)
    socket.write(start)
    expect(await statusOf(socket)).toBe(408)
    await expectNothingLeft(served)
  })

  const OCTETS = 'Content-Type: application/offset+octet-stream'
  it.for([
    ['raw', ['Content-Type: image/jpeg'], ''],
    [
      'form',
      ['Content-Type: multipart/form-data; boundary=B'],
      '--B\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n',
    ],
    ['chunk of an', ['Content-Type: application/octet-stream'], '', 'PUT', '/uploads'],
    ['tus', [OCTETS, 'Tus-Resumable: 1.0.0', 'Upload-Offset: 0'], '', 'PATCH', '/files'],
  ] as const)('ends a %s upload that only ever brings a byte', async ([, headers, start, method, under]) => {
    await using served = await serveWritePath()
    const path = under && (await begin(served.url, under))
    const socket = startRaw(served.port, [...headers, 'Content-Length: 100000'], method, path)
    let ended = false
    const answer = text(socket).finally(() => {
      ended = true
    })
    socket.write(start)
    const now = performance.now.bind(performance)
    let later = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + later)
    try {
      // As long as it takes: the server's minute begins when it has the request, which may be after some of these.
      for (; !ended; later += 20_000) {
        socket.write('x')
        await sleep(50)
      }
    } finally {
      clock.mockRestore()
    }
    expect(later).toBeGreaterThanOrEqual(60_000)
    expect(await answer).toMatch(/^HTTP\/1\.1 408 .*connection: close.*problem:timeout.*512 a second/is)
    await expectNothingLeft(served)
  })

  it('refuses a Content-Length over the bound without waiting for the body', async () => {
    await using served = await serveWritePath({ maxUploadBytes: 1000 })
    const socket = startRaw(served.port, ['Content-Type: image/jpeg', 'Content-Length: 1001', 'Connection: close'])
    expect(await statusOf(socket)).toBe(413)
    await expectNothingLeft(served)
  })

  it('answers 413 to a client that sends more than the bound in chunks', async () => {
    await using served = await serveWritePath({ maxUploadBytes: 100_000 })
    const response = await fetch(`${served.url}/assets/upload`, {
      method: 'POST',
      headers: { ...asAdmin, 'Content-Type': 'image/jpeg' },
      body: new Blob([new Uint8Array(1_000_000)]).stream(),
      duplex: 'half',
    } as RequestInit)
    expect(response.status).toBe(413)
    await expectNothingLeft(served)
  })
})

const part = (disposition: string, content: Uint8Array | string): Uint8Array =>
  Buffer.concat([
    Buffer.from(`--B\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ])

const send = async (
  served: Served,
  parts: readonly Uint8Array[],
  end = '--B--\r\n',
  type = 'multipart/form-data; boundary=B',
) => {
  const response = await fetch(`${served.url}/assets/upload`, {
    method: 'POST',
    headers: { ...asAdmin, 'Content-Type': type },
    body: Buffer.concat([...parts, Buffer.from(end)]),
  })
  return { status: response.status, asset: (await response.json()) as UploadedAsset & { detail: string } }
}

describe('a form upload', () => {
  it('takes details before and after the file', async () => {
    await using served = await serveWritePath()
    const file = part('name="file"; filename="C:\\pics\\a.jpg"', await picture(1))
    const { status, asset } = await send(served, [
      part('name="title"', 'Sunset, “late”'),
      file,
      part('name="tags"', '["sea","sky"]'),
      part('name="visibility"', 'private'),
      part('name="taken_at"', '2024-05-01T12:00:00+02:00'),
    ])
    expect(status).toBe(201)
    expect(asset).toMatchObject({
      filename: 'a.jpg',
      title: 'Sunset, “late”',
      tags: ['sea', 'sky'],
      visibility: 'private',
      taken_at: '2024-05-01T10:00:00.000Z',
    })
  })

  it('lets the field filename win over the name of the file, and takes a file without one', async () => {
    await using served = await serveWritePath()
    const body = await picture(1)
    const named = await send(served, [part('name="file"; filename="a.jpg"', body), part('name="filename"', 'b.jpg')])
    expect(named.asset.filename).toBe('b.jpg')
    const bare = await send(served, [part('name="file"', body)])
    expect(bare).toMatchObject({ status: 201, asset: { filename: null } })
  })

  it.for([
    ['no file', () => [part('name="title"', 'x')], undefined, undefined],
    ['nothing at all', () => [], undefined, undefined],
    [
      'two files',
      (p: Uint8Array) => [part('name="file"; filename="a"', p), part('name="file"; filename="b"', p)],
      undefined,
      undefined,
    ],
    ['a file in another field', (p: Uint8Array) => [part('name="photo"; filename="a"', p)], undefined, undefined],
    [
      'a file and another elsewhere',
      (p: Uint8Array) => [part('name="file"; filename="a"', p), part('name="x"; filename="b"', p)],
      undefined,
      undefined,
    ],
    [
      'a field twice',
      (p: Uint8Array) => [part('name="title"', 'a'), part('name="title"', 'b'), part('name="file"; filename="a"', p)],
      undefined,
      undefined,
    ],
    [
      'an unknown field',
      (p: Uint8Array) => [part('name="file"; filename="a"', p), part('name="colour"', 'red')],
      undefined,
      undefined,
    ],
    [
      'a field too long',
      (p: Uint8Array) => [part('name="description"', 'x'.repeat(100_000)), part('name="file"; filename="a"', p)],
      undefined,
      undefined,
    ],
    [
      'a title too long',
      (p: Uint8Array) => [part('name="title"', 'x'.repeat(501)), part('name="file"; filename="a"', p)],
      undefined,
      undefined,
    ],
    [
      'too many fields',
      (p: Uint8Array) => [
        ...Array.from({ length: 20 }, (_, i) => part(`name="f${i}"`, 'x')),
        part('name="file"; filename="a"', p),
      ],
      undefined,
      undefined,
    ],
    ['an empty file', () => [part('name="file"; filename="a"', '')], undefined, undefined],
    ['no end', (p: Uint8Array) => [part('name="file"; filename="a"', p)], '', undefined],
    ['no boundary', (p: Uint8Array) => [part('name="file"; filename="a"', p)], undefined, 'multipart/form-data'],
    [
      'another boundary',
      (p: Uint8Array) => [part('name="file"; filename="a"', p)],
      undefined,
      'multipart/form-data; boundary=C',
    ],
  ] as const)('with %s is refused and leaves nothing', async ([, parts, end, type]) => {
    await using served = await serveWritePath()
    const { status, asset } = await send(served, parts(await picture(1)), end, type)
    expect(asset.detail).toBeTruthy()
    expect(status).toBe(400)
    await expectNothingLeft(served)
  })

  it('over the bound is refused', async () => {
    await using served = await serveWritePath({ maxUploadBytes: 1000 })
    expect((await send(served, [part('name="file"; filename="a"', 'x'.repeat(5000))])).status).toBe(413)
    await expectNothingLeft(served)
  })
})
