import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ChunkStore } from '../../src/blobs/chunk-store.ts'
import { newUploadId } from '../../src/core/ids.ts'
import type { Quota } from '../../src/http/quota.ts'
import { createSessionSweep } from '../../src/ingest/session-sweep.ts'
import { createSessions } from '../../src/ingest/sessions.ts'
import { createTurns } from '../../src/ingest/turns.ts'
import { describeSession } from '../../src/ingest/upload-documents.ts'
import { asAdmin, asOwner, picture, temporaryWritePath, upload, type WritePath } from '../fixtures/write-path.ts'

const MIB = 1024 * 1024
const CHUNK = 8 * MIB
const sha256 = (bytes: Uint8Array, encoding: 'hex' | 'base64' = 'hex') =>
  createHash('sha256').update(bytes).digest(encoding)
const never = new AbortController().signal

/** A picture with padding after its end, which decoders pass over. */
const large = async (bytes: number, seed = 1): Promise<Buffer<ArrayBuffer>> => {
  const file = Buffer.alloc(bytes, seed & 255)
  file.set(await picture(seed))
  return file
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: what a test then looks at
  readonly body: any
}

const call = async (
  app: WritePath['app'],
  method: string,
  path: string,
  body?: RequestInit['body'],
  headers: Record<string, string> = asAdmin,
): Promise<Answer> => {
  const response = await app.request(path, { method, headers, ...(body !== undefined && { body }) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

const begin = async (
  app: WritePath['app'],
  bytes: number,
  more: object = {},
  as: Record<string, string> = asAdmin,
): Promise<string> => {
  const wanted = { file_name: 'a/b/photo.jpg', file_size: bytes, mime_type: 'image/jpeg', ...more }
  const headers = { ...as, 'Content-Type': 'application/json' }
  const answer = await call(app, 'POST', '/uploads', JSON.stringify(wanted), headers)
  expect(answer).toMatchObject({ status: 201, body: { chunk_size: CHUNK, chunk_count: Math.ceil(bytes / CHUNK) } })
  expect(answer.headers.get('location')).toMatch(`/uploads/${answer.body.upload_session_id}`)
  return answer.body.upload_session_id
}

const chunkOf = (file: Buffer<ArrayBuffer>, index: number) => file.subarray(index * CHUNK, (index + 1) * CHUNK)
const put = (
  app: WritePath['app'],
  id: string,
  index: number,
  bytes: RequestInit['body'],
  headers: Record<string, string> = {},
) => call(app, 'PUT', `/uploads/${id}/chunks/${index}`, bytes, { ...asAdmin, ...headers })
const filesOf = (path: WritePath) => readdir(join(path.folder, 'sessions'))

describe('a resumable upload', () => {
  it('takes chunks in any order and at once, and becomes the asset that one upload makes', async () => {
    await using path = await temporaryWritePath()
    const file = await large(3 * CHUNK + 1000)
    const id = await begin(path.app, file.length, {
      sha256: sha256(file),
      title: 'Sea',
      tags: ['a'],
      visibility: 'private',
    })
    expect((await call(path.app, 'GET', `/uploads/${id}`)).body).toMatchObject({
      state: 'created',
      received_chunks: [],
    })
    for (const { status } of await Promise.all(
      [3, 1, 2].map((index) => put(path.app, id, index, chunkOf(file, index))),
    ))
      expect(status).toBe(204)
    expect((await call(path.app, 'GET', `/uploads/${id}`)).body).toMatchObject({
      state: 'receiving',
      received_chunks: [1, 2, 3],
      missing_chunks: [0],
      received_bytes: 2 * CHUNK + 1000,
      offset: 0,
    })
    const early = await call(path.app, 'POST', `/uploads/${id}/complete`)
    expect(early).toMatchObject({ status: 409, body: { detail: 'chunks are missing: 0' } })
    expect((await put(path.app, id, 0, chunkOf(file, 0))).status).toBe(204)
    const made = await call(path.app, 'POST', `/uploads/${id}/complete`)
    expect(made).toMatchObject({
      status: 201,
      body: {
        hash: sha256(file),
        bytes: file.length,
        filename: 'photo.jpg',
        title: 'Sea',
        tags: ['a'],
        visibility: 'private',
      },
    })
    const again = await call(path.app, 'POST', `/uploads/${id}/complete`)
    expect(again).toMatchObject({ status: 200, body: { id: made.body.id, deduplicated: false } })
    expect((await call(path.app, 'GET', `/uploads/${id}`)).body).toMatchObject({
      state: 'done',
      asset_id: made.body.id,
      received_bytes: file.length,
      received_chunks: [0, 1, 2, 3],
      missing_chunks: [],
    })
    expect(await filesOf(path)).toEqual([])
    expect(await readdir(join(path.folder, 'staging'))).toEqual([])
    const shared = await upload(path.app, file)
    expect(shared.asset).toMatchObject({ hash: sha256(file), deduplicated: true })
  })

  it('acknowledges the same bytes twice, and refuses others in their place', async () => {
    await using path = await temporaryWritePath()
    const file = await large(CHUNK + 10)
    const id = await begin(path.app, file.length)
    const statuses = await Promise.all(Array.from({ length: 4 }, () => put(path.app, id, 1, chunkOf(file, 1))))
    // Of those that came at once, a later one may have sent an earlier one away.
    expect(statuses.map(({ status }) => status).filter((status) => status !== 409)).toContain(204)
    expect((await put(path.app, id, 1, chunkOf(file, 1))).status).toBe(204)
    const other = await put(path.app, id, 1, Buffer.alloc(10, 9))
    expect(other.status).toBe(409)
    await put(path.app, id, 0, chunkOf(file, 0))
    expect(await call(path.app, 'POST', `/uploads/${id}/complete`)).toMatchObject({
      status: 201,
      body: { hash: sha256(file) },
    })
  })

  it.for([
    ['too short', 9, {}, 400, 'chunk 1 has 10 bytes, not 9'],
    ['too long', 11, {}, 400, 'chunk 1 has 10 bytes, not more'],
    [
      'not what Content-Digest says',
      10,
      { 'Content-Digest': `sha-256=:${sha256(Buffer.from('x'), 'base64')}:` },
      400,
      'sha-256',
    ],
    ['coded', 10, { 'Content-Encoding': 'gzip' }, 415, 'gzip'],
  ] as const)('refuses a chunk that is %s', async ([, bytes, headers, status, detail]) => {
    await using path = await temporaryWritePath()
    const id = await begin(path.app, CHUNK + 10)
    const refused = await put(path.app, id, 1, Buffer.alloc(bytes), headers)
    expect(refused.status).toBe(status)
    expect(refused.body.detail).toContain(detail)
    expect((await call(path.app, 'GET', `/uploads/${id}`)).body.received_chunks).toEqual([])
  })

  it('names both lengths when the header gives the wrong one away', async () => {
    await using path = await temporaryWritePath()
    const id = await begin(path.app, CHUNK + 10)
    const refused = await put(path.app, id, 1, Buffer.alloc(7), { 'Content-Length': '7' })
    expect(refused).toMatchObject({ status: 400, body: { detail: 'chunk 1 has 10 bytes, not 7' } })
    expect((await put(path.app, id, 2, Buffer.alloc(7))).status).toBe(400)
  })

  it('fails for good when the file has another hash than was declared, and says so again', async () => {
    await using path = await temporaryWritePath()
    const file = await large(1000)
    const id = await begin(path.app, file.length, { sha256: '0'.repeat(64) })
    await put(path.app, id, 0, file)
    for (let time = 0; time < 2; time++) {
      const refused = await call(path.app, 'POST', `/uploads/${id}/complete`)
      expect(refused.status).toBe(422)
      expect(refused.body.detail).toContain(sha256(file))
    }
    expect((await call(path.app, 'GET', `/uploads/${id}`)).body).toMatchObject({ state: 'failed' })
    expect((await put(path.app, id, 0, file)).status).toBe(422)
    expect(await filesOf(path)).toEqual([])
    expect(await path.metadata.read.selectFrom('assets').select('id').execute()).toEqual([])
  })

  it('finds the type in the bytes, whatever was said', async () => {
    await using path = await temporaryWritePath()
    const text = Buffer.from('no picture at all')
    const id = await begin(path.app, text.length)
    await put(path.app, id, 0, text)
    expect((await call(path.app, 'POST', `/uploads/${id}/complete`)).status).toBe(415)
    const file = await large(2000)
    const other = await begin(path.app, file.length, { mime_type: 'video/mp4' })
    await put(path.app, other, 0, file)
    expect(await call(path.app, 'POST', `/uploads/${other}/complete`)).toMatchObject({
      status: 201,
      body: { format: 'jpeg' },
    })
  })

  it('makes one asset, however many complete at once', async () => {
    await using path = await temporaryWritePath()
    const file = await large(CHUNK + 5)
    const id = await begin(path.app, file.length)
    await Promise.all([0, 1].map((index) => put(path.app, id, index, chunkOf(file, index))))
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => call(path.app, 'POST', `/uploads/${id}/complete`)),
    )
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
    expect(answers.every(({ status }) => status === 201 || status === 200)).toBe(true)
    expect(await path.metadata.read.selectFrom('assets').select('id').execute()).toHaveLength(1)
  })

  it('is its owner’s alone', async () => {
    await using path = await temporaryWritePath()
    const id = await begin(path.app, 100)
    const stranger = await asOwner(path.app, 'eve')
    for (const [method, tail] of [
      ['GET', ''],
      ['PUT', '/chunks/0'],
      ['POST', '/complete'],
      ['DELETE', ''],
    ] as const) {
      const body = method === 'PUT' ? Buffer.alloc(100) : undefined
      expect((await call(path.app, method, `/uploads/${id}${tail}`, body, stranger)).status).toBe(404)
    }
    expect((await call(path.app, 'GET', '/uploads/nonsense')).status).toBe(404)
    expect((await call(path.app, 'GET', `/uploads/${id}`, undefined, {})).status).toBe(401)
  })

  it('can be given up, twice, and then takes nothing', async () => {
    await using path = await temporaryWritePath()
    const id = await begin(path.app, 100)
    await put(path.app, id, 0, Buffer.alloc(100))
    expect(await filesOf(path)).toHaveLength(1)
    expect((await call(path.app, 'DELETE', `/uploads/${id}`)).status).toBe(204)
    expect((await call(path.app, 'DELETE', `/uploads/${id}`)).status).toBe(204)
    expect(await filesOf(path)).toEqual([])
    expect((await put(path.app, id, 0, Buffer.alloc(100))).status).toBe(410)
    expect((await call(path.app, 'POST', `/uploads/${id}/complete`)).status).toBe(410)
    expect((await call(path.app, 'GET', `/uploads/${id}`)).body.state).toBe('aborted')
  })

  it.for([
    [{ file_size: 0 }, 400],
    [{ file_size: 51 * 1024 ** 3 }, 413],
    [{ file_name: '' }, 400],
    [{ file_name: 'x'.repeat(2000) }, 400],
    [{ mime_type: 'picture' }, 400],
    [{ sha256: 'ABC' }, 400],
    [{ colour: 'red' }, 400],
    [{ tags: Array(65).fill('x') }, 400],
  ] as const)('does not begin with %o', async ([wrong, status]) => {
    await using path = await temporaryWritePath()
    const wanted = { file_name: 'a.jpg', file_size: 10, mime_type: 'image/jpeg', ...wrong }
    const headers = { ...asAdmin, 'Content-Type': 'application/json' }
    expect((await call(path.app, 'POST', '/uploads', JSON.stringify(wanted), headers)).status).toBe(status)
  })
})

describe('the bounds of resumable uploads', () => {
  it('lets an owner have so many open, and no more', async () => {
    await using path = await temporaryWritePath({ resumable: { maxOpen: 2 } })
    await begin(path.app, 10)
    const second = await begin(path.app, 10)
    const headers = { ...asAdmin, 'Content-Type': 'application/json' }
    const wanted = JSON.stringify({ file_name: 'a', file_size: 10, mime_type: 'image/png' })
    const refused = await call(path.app, 'POST', '/uploads', wanted, headers)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60'])
    await begin(path.app, 10, {}, await asOwner(path.app, 'bob'))
    await call(path.app, 'DELETE', `/uploads/${second}`)
    await begin(path.app, 10)
  })

  it('tells whoever has his share of the bytes in flight to come back', async () => {
    await using path = await temporaryWritePath({ resumable: { maxBytesInFlight: 3 * CHUNK, idleMs: 4_000 } })
    const file = await large(3 * CHUNK)
    const id = await begin(path.app, file.length)
    let finish: (() => void) | undefined
    const held = async (index: number) => {
      const body = new ReadableStream({
        start: (controller) => {
          controller.enqueue(new Uint8Array(10))
          finish = () => controller.close()
        },
      })
      return path.app.request(`/uploads/${id}/chunks/${index}`, {
        method: 'PUT',
        headers: asAdmin,
        body,
        duplex: 'half',
      } as RequestInit)
    }
    const stalled = [held(0), held(1)]
    await expect.poll(() => path.resumable.stats().chunksRunning).toBe(2)
    const refused = await put(path.app, id, 2, chunkOf(file, 2))
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
    expect(path.resumable.stats()).toMatchObject({ chunksRefused: 1, chunksRefusedOwners: 1 })
    // A body that stands still ends, and gives its place back.
    expect((await Promise.all(stalled)).map(({ status }) => status)).toEqual([408, 408])
    expect((await put(path.app, id, 2, chunkOf(file, 2))).status).toBe(204)
    finish?.()
  })

  it('lets a later request for a chunk end one that hangs', async () => {
    await using path = await temporaryWritePath({ resumable: { idleMs: 60_000 } })
    const file = await large(1500)
    const id = await begin(path.app, file.length)
    const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) })
    const init = { method: 'PUT', headers: asAdmin, body, duplex: 'half' } as RequestInit
    const hanging = path.app.request(`/uploads/${id}/chunks/0`, init)
    await expect.poll(() => path.resumable.stats().chunksRunning).toBe(1)
    expect((await put(path.app, id, 0, file)).status).toBe(204)
    expect((await hanging).status).toBe(409)
    expect(await call(path.app, 'POST', `/uploads/${id}/complete`)).toMatchObject({
      status: 201,
      body: { hash: sha256(file) },
    })
  })

  it.for(['/uploads', '/files'])('makes nobody pay for what %s refuses', async (under) => {
    const spent: string[] = []
    const quota: Quota = {
      stats: { taken: 0, refused: 0 },
      spend: async (_, name, cost) => void spent.push(`${name} ${cost}`),
    }
    await using path = await temporaryWritePath({ quota, resumable: { maxBytes: 1000, maxOpen: 1 } })
    const create = (bytes: number) => {
      const body = { file_name: 'a.jpg', file_size: bytes, mime_type: 'image/jpeg' }
      const tus = { ...asAdmin, 'Tus-Resumable': '1.0.0', 'Upload-Length': `${bytes}` }
      if (under === '/files') return call(path.app, 'POST', under, undefined, tus)
      return call(path.app, 'POST', under, JSON.stringify(body), { ...asAdmin, 'Content-Type': 'application/json' })
    }
    expect((await create(1001)).status).toBe(413)
    expect(spent).toEqual([])
    expect((await create(1000)).status).toBe(201)
    expect((await create(999)).status).toBe(429)
    expect(spent).toEqual(['uploads 1', 'upload-bytes 1000'])
  })

  it('sweeps what has expired, and bytes that no session knows', async () => {
    await using path = await temporaryWritePath({ resumable: { lifeMs: 60_000 } })
    const file = await large(1500)
    const id = await begin(path.app, file.length)
    await put(path.app, id, 0, file)
    await path.resumable.sweep.scan(never)
    expect(await filesOf(path)).toEqual([id])
    await path.metadata.transaction(async (t) => {
      const { expires_at: at } = await t.selectFrom('upload_sessions').select('expires_at').executeTakeFirstOrThrow()
      await t
        .updateTable('upload_sessions')
        .set({ expires_at: at - 60_000 })
        .execute()
    })
    expect((await call(path.app, 'GET', `/uploads/${id}`)).body.state).toBe('expired')
    expect((await call(path.app, 'POST', `/uploads/${id}/complete`)).status).toBe(410)
    await path.resumable.sweep.sweep(never)
    expect(await filesOf(path)).toEqual([])
    expect(await path.metadata.read.selectFrom('upload_pieces').selectAll().execute()).toEqual([])
    const source = (async function* () {
      yield Buffer.from('lost')
    })()
    await path.chunks.write(id as never, { offset: 0, maxBytes: 10, totalBytes: 100 }, source, never)
    await path.resumable.sweep.scan(never)
    expect(await filesOf(path)).toEqual([])
    expect(path.resumable.stats()).toMatchObject({ sweep: { expired: 1, orphansRemoved: 1, faults: 0 } })
  })
  it('lets no bytes that cannot be removed hold up those behind them', async () => {
    await using path = await temporaryWritePath({})
    const ids = [newUploadId(), newUploadId(), newUploadId()].sort()
    const removed: string[] = []
    const chunks: ChunkStore = {
      ...path.chunks,
      list: async function* () {
        for (const id of ids) yield { id, writtenAt: new Date() }
      },
      remove: async (id) => {
        if (id === ids[0]) throw new Error('the store keeps it')
        removed.push(id)
      },
    }
    const faults: unknown[] = []
    const ports = {
      metadata: path.metadata,
      locker: path.locker,
      chunks,
      onFault: (error: unknown) => faults.push(error),
    }
    await using sweep = createSessionSweep(ports, { sweepIntervalMs: 1e6, scanIntervalMs: 1e6 })
    await sweep.scan(never)
    expect(removed).toEqual(ids.slice(1))
    expect(faults).toHaveLength(1)
    expect(sweep.stats).toMatchObject({ scans: 1, orphansRemoved: 2, faults: 1 })
  })
  it('does not ask the store what is in while an upload is being completed', async () => {
    await using path = await temporaryWritePath({})
    let asked = 0
    const withSent = async () => {
      asked += 1
      return []
    }
    const { metadata, chunks, locker } = path
    const limits = { maxBytes: 1e6, maxOpen: 1, lifeMs: 60_000 }
    const sessions = createSessions({ metadata, chunks, locker, turns: createTurns(), parts: { withSent } }, limits)
    const wanted = {
      ownerId: 'somebody' as never,
      protocol: 'chunks',
      bytes: 40_000,
      chunkBytes: 16_384,
      mediaType: 'image/jpeg',
      declared: null,
      details: {},
      tusMetadata: null,
    } as const
    const session = await sessions.create(wanted, async () => undefined)
    expect(await sessions.received(session)).toEqual([])
    const completing = { ...session, state: 'completing' as const }
    const document = describeSession(completing, await sessions.received(completing))
    expect(document).toMatchObject({ received_bytes: 40_000, received_chunks: [0, 1, 2], missing_chunks: [] })
    expect(await sessions.received({ ...session, expiresAt: new Date(0) })).toEqual([])
    expect(asked).toBe(1)
  })
})
