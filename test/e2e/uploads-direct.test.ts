/** Uploads whose bytes go straight into an S3 store, as a client of a real process makes them. */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keysIn, unfinishedUploads } from '../blobs/s3-fixture.ts'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { metric } from './metric.ts'
import { type AssetJson, json, type Origin, startOrigin } from './origin.ts'

const MIB = 1024 * 1024
const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const fileOf = (bytes: number, seed: number): Buffer<ArrayBuffer> => {
  const file = Buffer.alloc(bytes, seed)
  photo.copy(file)
  return file
}

interface Part {
  readonly chunk: number
  readonly bytes: number
  readonly url: string
  readonly headers: Record<string, string>
}

interface Begun {
  readonly upload_session_id: string
  readonly chunk_size: number
  readonly chunk_count: number
  readonly parts?: readonly Part[]
  readonly next_parts?: string | null
}

describe.runIf(cephIsHere)('uploads into the store itself', () => {
  let ceph: Ceph
  let bucket: string
  let folder: string
  let origin: Origin
  const start = (query = '') =>
    startOrigin({
      data: join(folder, 'data'),
      env: {
        ...ceph.credentials,
        ORIEL_BLOBS: `s3://${bucket}?endpoint=${ceph.endpoint}&prefix=o${query}`,
        ORIEL_ANALYTICS: 'off',
      },
    })
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'oriel-direct-'))
    ceph = await startCeph()
    bucket = await ceph.createBucket()
    origin = await start()
  })
  afterAll(async () => {
    await origin?.stop()
    await ceph?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const begin = async (bytes: number, more: object = {}) => {
    const wanted = { file_name: 'a.jpg', file_size: bytes, mime_type: 'image/jpeg', ...more }
    const headers = { 'Content-Type': 'application/json' }
    const answer = await origin.api('/uploads', { method: 'POST', headers, body: JSON.stringify(wanted) })
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([201, 'no-store'])
    return json<Begun>(answer)
  }
  const send = async (file: Buffer<ArrayBuffer>, { chunk_size }: Begun, { url, headers, chunk }: Part) => {
    const body = file.subarray(chunk * chunk_size, (chunk + 1) * chunk_size)
    return (await fetch(url, { method: 'PUT', headers, body })).status
  }
  const complete = (id: string) => origin.api(`/uploads/${id}/complete`, { method: 'POST' })
  const sessionKeys = async () => (await keysIn(ceph, bucket)).filter((key) => key.includes('sessions/'))

  it('a photo is put in one request, hashed, and moved under its hash', async () => {
    const file = fileOf(photo.length, 0)
    const begun = await begin(file.length, { sha256: sha256(file) })
    const [part] = begun.parts ?? []
    if (!part) throw new Error('no part')
    expect([begun.parts?.length, begun.next_parts, part.chunk, part.bytes]).toEqual([1, null, 0, file.length])
    expect((await complete(begun.upload_session_id)).status).toBe(409)
    expect(await send(file, begun, part)).toBe(200)
    const answer = await complete(begun.upload_session_id)
    const asset = await json<AssetJson>(answer)
    expect([answer.status, asset.hash, asset.bytes]).toEqual([201, sha256(file), file.length])
    expect((await complete(begun.upload_session_id)).status).toBe(200)
    expect((await fetch(`${origin.url}/i/${asset.hash}/160x120.webp`)).status).toBe(200)
    const original = await fetch(`${origin.url}/i/${asset.hash}/original`)
    expect(sha256(new Uint8Array(await original.arrayBuffer()))).toBe(asset.hash)
    expect(await sessionKeys()).toEqual([])
    expect(origin.output()).not.toContain('X-Amz-Signature')
  })

  it('a large file comes in parts in any order, one of them by the origin, and is known again', async () => {
    const file = fileOf(21 * MIB + 7, 2)
    const begun = await begin(file.length, { chunk_size: 5 * MIB })
    const id = begun.upload_session_id
    const parts = begun.parts ?? []
    expect(parts.map(({ bytes }) => bytes)).toEqual([5 * MIB, 5 * MIB, 5 * MIB, 5 * MIB, MIB + 7])
    const sent = parts.filter(({ chunk }) => chunk !== 2).toReversed()
    expect(await Promise.all(sent.map((part) => send(file, begun, part)))).toEqual([200, 200, 200, 200])
    const state = await json(await origin.api(`/uploads/${id}`))
    expect(state).toMatchObject({ state: 'receiving', received_chunks: [0, 1, 3, 4], missing_chunks: [2] })
    const early = await complete(id)
    expect([early.status, await early.text()]).toEqual([409, expect.stringContaining('chunks are missing: 2')])
    const body = file.subarray(10 * MIB, 15 * MIB)
    expect((await origin.api(`/uploads/${id}/chunks/2`, { method: 'PUT', body })).status).toBe(204)
    const asset = await json<AssetJson>(await complete(id))
    expect(asset.hash).toBe(sha256(file))
    expect(await sessionKeys()).toEqual([])
    expect(await unfinishedUploads(ceph, bucket)).toBe(0)

    const again = await begin(file.length)
    for (const part of again.parts ?? []) expect(await send(file, again, part)).toBe(200)
    expect(await json<AssetJson>(await complete(again.upload_session_id))).toMatchObject({
      hash: asset.hash,
      deduplicated: true,
    })
  })

  it('other bytes than were declared, and what is no picture, end the session for good', async () => {
    const file = fileOf(photo.length, 0)
    const wrong = await begin(file.length, { sha256: sha256(Buffer.from('another')) })
    for (const part of wrong.parts ?? []) expect(await send(file, wrong, part)).toBe(200)
    const text = await begin(2_000)
    for (const part of text.parts ?? []) expect(await send(Buffer.alloc(2_000, 'a'), text, part)).toBe(200)
    const judged = [await complete(wrong.upload_session_id), await complete(text.upload_session_id)]
    expect(judged.map(({ status }) => status)).toEqual([422, 415])
    expect(await judged[0]?.json()).toMatchObject({ detail: expect.stringContaining(sha256(file)) })
    expect((await complete(wrong.upload_session_id)).status).toBe(422)
    expect(await sessionKeys()).toEqual([])
  })

  it('a page of requests follows another, and whoever has no right to one gets none', async () => {
    const begun = await begin(40 * 8 * MIB)
    expect([begun.chunk_count, begun.parts?.length]).toEqual([40, 32])
    const path = new URL(begun.next_parts ?? '').pathname + new URL(begun.next_parts ?? '').search
    const page = await json<Begun>(await origin.api(path))
    expect(page.parts?.map(({ chunk }) => chunk)).toEqual([32, 33, 34, 35, 36, 37, 38, 39])
    expect(page.next_parts).toBeNull()
    const own = `/uploads/${begun.upload_session_id}/parts`
    expect((await origin.api(`${own}?from=40`)).status).toBe(400)
    expect((await origin.api(`${own}?from=x`)).status).toBe(400)
    expect((await fetch(origin.url + own)).status).toBe(401)
    expect((await origin.api('/uploads/u_AAAAAAAAAAAAAAAAAAAAAA/parts')).status).toBe(404)
    expect((await origin.api(`/uploads/${begun.upload_session_id}`, { method: 'DELETE' })).status).toBe(204)
    expect((await origin.api(own)).status).toBe(410)
    const small = await begin(3 * MIB, { chunk_size: MIB })
    expect(small.parts).toBeUndefined()
    expect((await origin.api(`/uploads/${small.upload_session_id}/parts`)).status).toBe(409)
    expect(await metric(origin, 'sessions_parts_signed_total')).toBeGreaterThan(40)
  })

  it('is told in the API document, with the store that does not answer', async () => {
    const { paths } = await json<{ paths: Record<string, Record<string, { responses: object }>> }>(
      await fetch(`${origin.url}/openapi.json`),
    )
    const statuses = (path: string, method: string) => Object.keys(paths[path]?.[method]?.responses ?? {})
    expect(statuses('/uploads/{id}', 'get')).toContain('503')
    expect(statuses('/uploads/{id}/parts', 'get')).toEqual(expect.arrayContaining(['200', '409', '410', '503']))
  })

  it('goes on after a kill while it was completed', async () => {
    const file = fileOf(48 * MIB, 3)
    const begun = await begin(file.length)
    for (const part of begun.parts ?? []) expect(await send(file, begun, part)).toBe(200)
    const cut = complete(begun.upload_session_id).catch(() => undefined)
    const state = async () =>
      (await json<{ state: string }>(await origin.api(`/uploads/${begun.upload_session_id}`))).state
    await expect.poll(state).not.toBe('receiving')
    await origin.stop('SIGKILL')
    await cut
    origin = await start()
    const asset = await json<AssetJson>(await complete(begun.upload_session_id))
    expect(asset.hash).toBe(sha256(file))
    expect(await sessionKeys()).toEqual([])
  })

  it('what is put after the end is removed by the walk over sessions', async () => {
    const file = fileOf(photo.length, 0)
    const begun = await begin(file.length)
    for (const part of begun.parts ?? []) expect(await send(file, begun, part)).toBe(200)
    expect((await complete(begun.upload_session_id)).status).toBe(201)
    for (const part of begun.parts ?? []) expect(await send(file, begun, part)).toBe(200)
    expect(await sessionKeys()).toHaveLength(1)
    await origin.stop()
    origin = await start()
    await expect.poll(sessionKeys).toEqual([])
  })
})
