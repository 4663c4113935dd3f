/** Two real processes that share PostgreSQL and an S3 store: an upload is nobody's in particular. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { keysIn } from '../blobs/s3-fixture.ts'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { describePostgres, type PostgresCluster, startPostgres } from '../engines/postgres.ts'
import { ADMIN_KEY, type AssetJson, json, type Origin, startOrigin } from './origin.ts'

const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const fileOf = (bytes: number, seed: number): Buffer<ArrayBuffer> => {
  const file = Buffer.alloc(bytes, seed)
  photo.copy(file)
  return file
}

const suite = (): void => {
  let ceph: Ceph
  let cluster: PostgresCluster
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'oriel-two-'))
    ceph = await startCeph()
    cluster = await startPostgres()
  })
  afterAll(async () => {
    await ceph?.[Symbol.asyncDispose]()
    await cluster?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const startTwo = async () => {
    const bucket = await ceph.createBucket()
    const env = {
      ...ceph.credentials,
      ORIEL_BLOBS: `s3://${bucket}?endpoint=${ceph.endpoint}&prefix=o`,
      ORIEL_DATABASE: await cluster.createDatabase(),
      ORIEL_ADMIN_KEY: ADMIN_KEY,
      ORIEL_SIGNING_KEYS: 'k:0123456789abcdef0123',
      ORIEL_ANALYTICS: 'off',
    }
    const start = (name: string) => startOrigin({ data: join(folder, bucket, name), env })
    return { bucket, start, one: await start('one'), two: await start('two') }
  }
  const begin = async (origin: Origin, file: Buffer) => {
    const wanted = { file_name: 'a.jpg', file_size: file.length, mime_type: 'image/jpeg', chunk_size: 1024 * 1024 }
    const headers = { 'Content-Type': 'application/json' }
    const answer = await origin.api('/uploads', { method: 'POST', headers, body: JSON.stringify(wanted) })
    return json<{ upload_session_id: string; chunk_count: number; chunk_size: number }>(answer)
  }

  it('take chunks in turns, and either completes; a third of the answers comes after one was killed', async () => {
    const { bucket, start, one, two } = await startTwo()
    await using _one = one
    await using _two = two
    const file = fileOf(9 * 1024 * 1024 + 5, 1)
    const begun = await begin(one, file)
    const path = `/uploads/${begun.upload_session_id}`
    const put = (origin: Origin, index: number, bytes = file) =>
      origin.api(`${path}/chunks/${index}`, {
        method: 'PUT',
        body: bytes.subarray(index * begun.chunk_size, (index + 1) * begun.chunk_size),
      })
    const all = Array.from({ length: begun.chunk_count }, (_, index) => index)
    const first = await Promise.all(all.slice(0, 7).map((index) => put(index % 2 ? one : two, index)))
    expect(first.map(({ status }) => status)).toEqual(Array(7).fill(204))
    await one.stop('SIGKILL')
    for (const index of all.slice(7)) expect((await put(two, index)).status).toBe(204)
    expect((await put(two, 3, fileOf(file.length, 9))).status).toBe(409)
    await using back = await start('one')
    const answers = await Promise.all([back, two].map((origin) => origin.api(`${path}/complete`, { method: 'POST' })))
    const assets = await Promise.all(answers.map((answer) => json<AssetJson>(answer)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 201])
    expect(new Set(assets.map(({ id, hash }) => `${id} ${hash}`))).toEqual(
      new Set([`${assets[0]?.id} ${sha256(file)}`]),
    )
    const original = await fetch(`${two.url}/i/${sha256(file)}/original`)
    expect(sha256(new Uint8Array(await original.arrayBuffer()))).toBe(sha256(file))
    expect((await keysIn(ceph, bucket)).filter((key) => key.includes('sessions/'))).toEqual([])
    for (const origin of [back, two]) expect(await readdir(join(origin.data, 'staging'))).toEqual([])
  })

  it('take what a client put into the store: signed by one, completed by both at once', async () => {
    const { bucket, one, two } = await startTwo()
    await using _one = one
    await using _two = two
    const file = fileOf(17 * 1024 * 1024, 3)
    const wanted = { file_name: 'a.jpg', file_size: file.length, mime_type: 'image/jpeg' }
    const headers = { 'Content-Type': 'application/json' }
    const begun = await json<{ upload_session_id: string; chunk_size: number; parts: { url: string }[] }>(
      await one.api('/uploads', { method: 'POST', headers, body: JSON.stringify(wanted) }),
    )
    const path = `/uploads/${begun.upload_session_id}`
    const again = await json<typeof begun>(await two.api(`${path}/parts`))
    expect([begun.parts.length, again.parts.length]).toEqual([3, 3])
    for (const [index, { url }] of [...begun.parts.slice(0, 2), ...again.parts.slice(2)].entries()) {
      const body = file.subarray(index * begun.chunk_size, (index + 1) * begun.chunk_size)
      expect((await fetch(url, { method: 'PUT', body })).status).toBe(200)
    }
    const answers = await Promise.all([one, two].map((origin) => origin.api(`${path}/complete`, { method: 'POST' })))
    const assets = await Promise.all(answers.map((answer) => json<AssetJson>(answer)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 201])
    expect(assets.map(({ hash }) => hash)).toEqual([sha256(file), sha256(file)])
    expect((await keysIn(ceph, bucket)).filter((key) => key.includes('sessions/'))).toEqual([])
  })

  it('hand a tus upload over: who waits at one is heard by the holder at the other', async () => {
    const { one, two } = await startTwo()
    await using _one = one
    await using _two = two
    // The piece that is acknowledged as soon as it is whole, and some of the next.
    const piece = 8 * 1024 * 1024
    const brought = piece + 300_000
    const file = fileOf(piece + 2 * 1024 * 1024, 2)
    const tus = { 'Tus-Resumable': '1.0.0' }
    const begun = await one.api('/files', { method: 'POST', headers: { ...tus, 'Upload-Length': String(file.length) } })
    const path = new URL(begun.headers.get('location') ?? '').pathname
    const headers = { ...tus, 'Content-Type': 'application/offset+octet-stream' }
    let more: ReadableStreamDefaultController<Uint8Array> | undefined
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        more = controller
        controller.enqueue(file.subarray(0, brought))
      },
    })
    const init = { method: 'PATCH', headers: { ...headers, 'Upload-Offset': '0' }, body, duplex: 'half' }
    const hanging = one.api(path, init as RequestInit).catch(() => undefined)
    const offset = async () => (await json<{ offset: number }>(await two.api(path.replace('files', 'uploads')))).offset
    await expect.poll(offset).toBe(piece)
    const head = await two.api(path, { method: 'HEAD', headers: tus })
    expect(head.status).toBe(200)
    // Of the next piece counts what has come when the holder is told, and the client goes on from there.
    const at = Number(head.headers.get('upload-offset'))
    expect(at).toBeGreaterThanOrEqual(piece)
    expect(at).toBeLessThanOrEqual(brought)
    const rest = { ...headers, 'Upload-Offset': String(at) }
    const last = await two.api(path, { method: 'PATCH', headers: rest, body: file.subarray(at) })
    expect(last.headers.get('oriel-asset-id')).toMatch(/^a_/)
    more?.close()
    await hanging
  })
}

if (cephIsHere) describePostgres('two origins on PostgreSQL and S3', suite)
else it.skip('two origins on PostgreSQL and S3', () => undefined)
