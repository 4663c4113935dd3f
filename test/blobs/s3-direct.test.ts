/** Chunks that a client puts into the bucket itself, on a real gateway: what a signed request allows, and that it allows no more. */
import { hash as hashOf } from 'node:crypto'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SignedPut } from '../../src/blobs/chunk-store.ts'
import { newUploadId } from '../../src/core/ids.ts'
import type { Piece, SentPart } from '../../src/core/upload-session.ts'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { type SeenRequest, startFaultyProxy } from '../engines/faulty-proxy.ts'
import {
  digestOf,
  headOf,
  inChunks,
  keysIn,
  never,
  openS3,
  originalKey,
  sample,
  unfinishedUploads,
} from './s3-fixture.ts'

const MIB = 1024 * 1024

/** In front of the gateway, a store that refuses signatures which name what is not sent, as MinIO does. */
const startRefuser = async (port: number) => {
  const server = createServer((incoming, response) => {
    if (incoming.url?.includes('x-amz-acl')) return void response.writeHead(403).end()
    const { method, url: path, headers } = incoming
    const onward = request({ port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Encryption by a key that only the client has (SSE-C). */
const ownKey = () => {
  const name = 'x-amz-server-side-encryption-customer'
  const [key, md5] = [Buffer.alloc(32, 7), hashOf('md5', Buffer.alloc(32, 7), 'base64')]
  return { [`${name}-algorithm`]: 'AES256', [`${name}-key`]: key.toString('base64'), [`${name}-key-md5`]: md5 }
}

const put = async ({ url, headers }: SignedPut, body: Buffer<ArrayBuffer>): Promise<number> =>
  (await fetch(url, { method: 'PUT', headers, body })).status

describe.runIf(cephIsHere)('chunks put into a Ceph gateway by their clients', () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph()
  })
  afterAll(() => ceph[Symbol.asyncDispose]())

  const openDirect = async (prefix = 'p/') => {
    const s3 = await openS3(ceph, { location: { prefix } })
    const { direct } = s3.chunks
    if (!direct) throw new Error('no direct chunks')
    return { ...s3, direct }
  }

  it('a signed request is good for one key, one length, one method and its time', async () => {
    await using s3 = await openDirect()
    const id = newUploadId()
    const body = sample(1000)
    const signed = await s3.direct.sign(id, { offset: 0, bytes: body.length }, undefined, 60)
    expect(signed.headers).toEqual({})
    expect(await put(signed, sample(999))).toBe(403)
    expect(await put(signed, sample(1001))).toBe(403)
    expect((await fetch(signed.url)).status).toBe(403)
    expect((await fetch(signed.url, { method: 'DELETE' })).status).toBe(403)
    const elsewhere = signed.url.replace(`sessions/${id}`, `sessions/${newUploadId()}`)
    expect(await put({ ...signed, url: elsewhere }, body)).toBe(403)
    expect(await s3.direct.sent(id)).toEqual([])
    expect(await put(signed, body)).toBe(200)
    expect(await s3.direct.sent(id)).toEqual([{ offset: 0, bytes: 1000 }])
    const brief = await s3.direct.sign(id, { offset: 0, bytes: 1000 }, undefined, 1)
    await sleep(2_100)
    expect(await put(brief, body)).toBe(403)
  })

  it.for(['forbidden by the signature', 'by a key that may not read'])(
    'lets nobody smuggle a copy in: %s',
    async (how) => {
      // Ceph 16.2: a put with an unsigned `x-amz-copy-source` is a copy of what the signer may read, in any bucket.
      const refuser = how.includes('key') ? await startRefuser(ceph.port) : undefined
      await using _refuser = refuser
      const { partsKey } = ceph
      await using s3 = await openS3(ceph, refuser ? { endpoint: refuser.url, partsKey } : {})
      const digest = await s3.upload(sample(1000))
      const id = newUploadId()
      const signed = await s3.chunks.direct?.sign(id, { offset: 0, bytes: 1000 }, undefined, 60)
      if (!signed) throw new Error('nothing is signed')
      expect(s3.warnings.filter((message) => message.includes('no parts'))).toEqual([])
      const copySource = `/${s3.bucket}/${originalKey(digest)}`
      for (const headers of [
        { 'x-amz-copy-source': copySource },
        { 'x-amz-copy-source': copySource, 'x-amz-copy-source-range': 'bytes=0-999' },
        { x_amz_copy_source: copySource },
        ...(refuser ? [] : [{ 'x-amz-acl': 'public-read' }, { 'x-amz-storage-class': 'COLD' }, ownKey()]),
      ])
        expect(await put({ ...signed, headers: headers as Record<string, string> }, sample(1000, 1))).toBe(403)
      expect(await keysIn(ceph, s3.bucket)).toEqual([originalKey(digest)])
      expect(await put({ ...signed, headers: { 'content-type': 'image/jpeg' } }, sample(1000, 1))).toBe(200)
    },
  )

  it('signs nothing where the store obeys what is not signed, takes no signature that forbids it, and the signer may read', async () => {
    await using refuser = await startRefuser(ceph.port)
    await using s3 = await openS3(ceph, { endpoint: refuser.url })
    expect(s3.chunks.direct).toBeUndefined()
    expect(s3.warnings).toContainEqual(expect.stringContaining('obeys headers that are not signed'))
  })

  it('signs nothing with a key that may not put, or for a store that does not answer, and says so', async () => {
    await using wrong = await openS3(ceph, { partsKey: { accessKeyId: 'nobody', secretAccessKey: 'nothing-at-all' } })
    expect(wrong.chunks.direct).toBeUndefined()
    expect(wrong.warnings).toContainEqual(expect.stringContaining('does not take signed puts as it should'))
    await using away = await openS3(ceph, { endpoint: 'http://127.0.0.1:9', bucket: 'somewhere' })
    const signing = away.chunks.direct?.sign(newUploadId(), { offset: 0, bytes: 1000 }, undefined, 60)
    await expect(signing).rejects.toMatchObject({ kind: 'busy' })
    expect(away.warnings).toContainEqual(expect.stringContaining('what a signed request allows is not known'))
  })

  it('binds a declared digest: without its header, or with another one, it is no signed request', async () => {
    await using s3 = await openDirect()
    const body = sample(1000)
    const digest = digestOf(body)
    const signed = await s3.direct.sign(newUploadId(), { offset: 0, bytes: body.length }, digest, 60)
    const checksum = Buffer.from(digest, 'hex').toString('base64')
    expect(signed.headers).toEqual({ 'x-amz-checksum-sha256': checksum })
    expect(await put({ ...signed, headers: {} }, body)).toBe(403)
    const other = Buffer.from(digestOf(sample(1000, 1)), 'hex').toString('base64')
    expect(await put({ ...signed, headers: { 'x-amz-checksum-sha256': other } }, body)).toBe(403)
    expect(await put(signed, body)).toBe(200)
  })

  it('makes one original of chunks that came by either way, and can do so again until they are removed', async () => {
    await using s3 = await openDirect()
    const id = newUploadId()
    const file = sample(17 * MIB + 5)
    const [first, second, last] = [0, 6 * MIB, 12 * MIB].map((offset) => ({
      offset,
      bytes: Math.min(6 * MIB, file.length - offset),
    })) as [SentPart, SentPart, SentPart]
    const bytesOf = ({ offset, bytes }: SentPart) => Buffer.from(file.subarray(offset, offset + bytes))
    for (const part of [last, first])
      expect(await put(await s3.direct.sign(id, part, undefined, 60), bytesOf(part))).toBe(200)
    const place = { offset: second.offset, maxBytes: second.bytes, totalBytes: file.length }
    const piece: Piece = { ...second, ...(await s3.chunks.write(id, place, inChunks(bytesOf(second)), never)) }
    expect(await s3.direct.sent(id)).toEqual([first, last])
    for (let time = 0; time < 2; time++) {
      await using staged = await s3.direct.assemble(id, [first, piece, last], never)
      expect({ digest: staged.digest, bytes: staged.bytes }).toEqual({ digest: digestOf(file), bytes: file.length })
      await staged.publish()
    }
    await s3.chunks.remove(id)
    expect((await keysIn(ceph, s3.bucket)).filter((key) => key.includes('sessions/'))).toEqual([])
    expect(await s3.originals.size(digestOf(file))).toBe(file.length)
    const read = await s3.originals.read(digestOf(file), undefined, never)
    expect(digestOf(Buffer.concat(await read.toArray()))).toBe(digestOf(file))
    expect(await unfinishedUploads(ceph, s3.bucket)).toBe(0)
  })

  it('publishes what it has hashed, whatever is put by a request that is still good', async () => {
    await using s3 = await openDirect()
    const id = newUploadId()
    const [body, other] = [sample(200_000), sample(200_000, 9)]
    const part = { offset: 0, bytes: body.length }
    const signed = await s3.direct.sign(id, part, undefined, 60)
    expect(await put(signed, body)).toBe(200)
    await using staged = await s3.direct.assemble(id, [part], never)
    expect(await put(signed, other)).toBe(200)
    await staged.publish()
    const read = await s3.originals.read(digestOf(body), undefined, never)
    expect(digestOf(Buffer.concat(await read.toArray()))).toBe(digestOf(body))
    expect(await s3.originals.size(digestOf(other))).toBeUndefined()
  })

  it('keeps nothing of what a client says beside the bytes, nor a copy of an attempt that failed', async () => {
    await using proxy = await startFaultyProxy(ceph.port, 'http')
    await using s3 = await openS3(ceph, { endpoint: proxy.url })
    const { direct } = s3.chunks
    if (!direct) throw new Error('no direct chunks')
    const id = newUploadId()
    const body = sample(1000)
    const part = { offset: 0, bytes: body.length }
    const signed = await direct.sign(id, part, undefined, 60)
    const said = { 'Content-Encoding': 'gzip', 'Content-Type': 'text/html', 'x-amz-meta-a': 'b' }
    expect(await put({ ...signed, headers: said }, body)).toBe(200)
    proxy.set({ failOneIn: 1, only: ({ method, path }) => method === 'GET' && path.includes('/whole-') })
    await expect(direct.assemble(id, [part], never)).rejects.toMatchObject({ kind: 'busy' })
    proxy.set({})
    {
      await using staged = await direct.assemble(id, [part], never)
      await staged.publish()
    }
    expect(await keysIn(ceph, s3.bucket)).toEqual([
      originalKey(digestOf(body)),
      expect.stringMatching(/^sessions\/.*-sent$/),
    ])
    const stored = await headOf(ceph, s3.bucket, originalKey(digestOf(body)))
    expect([stored.ContentEncoding, stored.Metadata]).toEqual([undefined, {}])
    expect(stored.ContentType).not.toBe('text/html')
  })

  it('says that a chunk has gone or is of another length, and leaves no upload unfinished', async () => {
    await using s3 = await openDirect('')
    const id = newUploadId()
    const there = { offset: 0, bytes: 5 * MIB }
    expect(await put(await s3.direct.sign(id, there, undefined, 60), sample(there.bytes))).toBe(200)
    const gone = s3.direct.assemble(id, [there, { offset: there.bytes, bytes: 10 }], never)
    await expect(gone).rejects.toMatchObject({ kind: 'conflict', message: expect.stringContaining(id) })
    for (const bytes of [there.bytes - 1, there.bytes + 1])
      await expect(s3.direct.assemble(id, [{ offset: 0, bytes }], never)).rejects.toMatchObject({ kind: 'conflict' })
    expect(await unfinishedUploads(ceph, s3.bucket)).toBe(0)
    const late = AbortSignal.abort(new Error('too late'))
    await expect(s3.direct.assemble(id, [there], late)).rejects.toThrow('too late')
  })

  it('waits for a store that takes long to copy and to join, and says nothing meanwhile', async () => {
    await using proxy = await startFaultyProxy(ceph.port, 'http')
    await using s3 = await openS3(ceph, { endpoint: proxy.url, idleMs: 300 })
    const { direct } = s3.chunks
    if (!direct) throw new Error('no direct chunks')
    const file = sample(10 * MIB)
    const parts = [0, 5 * MIB].map((offset) => ({ offset, bytes: 5 * MIB }))
    const id = newUploadId()
    for (const part of parts)
      expect(
        await put(await direct.sign(id, part, undefined, 60), file.subarray(part.offset, part.offset + 5 * MIB)),
      ).toBe(200)
    const isCopy = ({ method, path, headers }: SeenRequest) =>
      'x-amz-copy-source' in headers || (method === 'POST' && path.includes('uploadId='))
    proxy.set({ delayMs: 900, only: isCopy })
    await using staged = await direct.assemble(id, parts, never)
    await staged.publish()
    expect(proxy.done()).toBe(4)
    expect(await s3.originals.size(digestOf(file))).toBe(file.length)
  })

  it('signs keys whose prefix has every character that may be in one', async () => {
    await using s3 = await openDirect("a!b/c*d'(e)/F_g-h.i/")
    const id = newUploadId()
    const signed = await s3.direct.sign(id, { offset: 0, bytes: 1000 }, undefined, 60)
    expect(await put(signed, sample(1000))).toBe(200)
    expect(await s3.direct.sent(id)).toEqual([{ offset: 0, bytes: 1000 }])
  })

  it('signs for the address under which clients reach the store', async () => {
    await using s3 = await openS3(ceph, { location: { publicEndpoint: 'https://store.example' } })
    const signed = await s3.chunks.direct?.sign(newUploadId(), { offset: 0, bytes: 1 }, undefined, 60)
    expect(signed?.url.startsWith(`https://store.example/${s3.bucket}/sessions/`)).toBe(true)
  })
})
