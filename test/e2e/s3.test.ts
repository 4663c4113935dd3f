/** Real processes that keep originals and variants on a real S3 store. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keysIn } from '../blobs/s3-fixture.ts'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { startFaultyProxy } from '../engines/faulty-proxy.ts'
import { metric } from './metric.ts'
import { json, type Origin, startOrigin } from './origin.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))
const bytesOf = async (answer: Response) => new Uint8Array(await answer.arrayBuffer())

interface Ready {
  readonly status: string
  readonly engines: { readonly blobs: { readonly state: string; readonly detail: string } }
}

/** A check has a second, which a store on a busy machine may not keep to. */
const readiness = async ({ url }: Origin) => {
  const { status, engines } = await json<Ready>(await fetch(`${url}/readyz`))
  return [status, engines.blobs]
}

describe.runIf(cephIsHere)('an origin on S3', () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph({ storageClass: 'COLD' })
  })
  afterAll(() => ceph[Symbol.asyncDispose]())

  const start = (bucket: string, endpoint = ceph.endpoint, env: Record<string, string> = {}) =>
    startOrigin({
      env: {
        ...ceph.credentials,
        ORIEL_BLOBS: `s3://${bucket}?endpoint=${endpoint}&prefix=oriel`,
        ORIEL_ANALYTICS: 'off',
        ...env,
      },
    })

  it('stores, negotiates, renders, sends ranges, and removes what was deleted', async () => {
    const bucket = await ceph.createBucket()
    await using origin = await start(bucket, ceph.endpoint, { ORIEL_RESTORE_SECONDS: '0' })
    const { id, hash } = await origin.upload(photo)
    const original = `oriel/originals/${hash.slice(0, 2)}/${hash}`
    expect(await keysIn(ceph, bucket)).toEqual([original])
    const avif = await fetch(`${origin.url}/i/${hash}/320x.auto`, { headers: { Accept: 'image/avif,*/*' } })
    expect([avif.status, avif.headers.get('content-type')]).toEqual([200, 'image/avif'])
    await bytesOf(avif)
    await expect.poll(async () => (await keysIn(ceph, bucket)).length).toBe(2)
    expect((await keysIn(ceph, bucket))[1]).toMatch(new RegExp(`^oriel/variants/${hash}/.*avif$`))
    const range = await fetch(`${origin.url}/i/${hash}/original`, { headers: { Range: 'bytes=1000-1999' } })
    expect([range.status, range.headers.get('content-range')]).toEqual([206, `bytes 1000-1999/${photo.length}`])
    expect(await bytesOf(range)).toEqual(photo.slice(1000, 2000))
    expect(await bytesOf(await fetch(`${origin.url}/i/${hash}/original`))).toEqual(photo)
    // Nothing of the disk store: only what is on its way.
    expect(await readdir(origin.data)).not.toContain('originals')
    expect(await readdir(join(origin.data, 'staging'))).toEqual([])

    await expect.poll(() => readiness(origin)).toEqual(['ready', { state: 'ready', detail: `S3, bucket ${bucket}` }])
    const metrics = await (await fetch(`${origin.url}/metrics`)).text()
    expect(metrics).toMatch(/\noriel_s3_calls_total [1-9]/)
    expect(metrics).toMatch(/\noriel_copies_files 1\n/)
    expect(metrics).toContain('# TYPE oriel_s3_open gauge')

    expect((await origin.api(`/assets/${id}`, { method: 'DELETE' })).status).toBe(204)
    expect((await origin.api(`/internal/assets/${id}/cleanup`, { method: 'POST' })).status).toBe(200)
    expect(await keysIn(ceph, bucket)).toEqual([])
    expect((await fetch(`${origin.url}/i/${hash}/original`)).status).not.toBe(200)
    expect(await origin.stop()).toBe(0)
  })

  it('notes which originals are read where it has a colder class for the others', async () => {
    await using origin = await start(await ceph.createBucket(), `${ceph.endpoint}&cold_class=COLD&cold_days=30`)
    const { hash } = await origin.upload(photo)
    expect(await metric(origin, 'uses_noted_total')).toBe(0)
    for (const width of [320, 640]) await bytesOf(await fetch(`${origin.url}/i/${hash}/${width}x.webp`))
    await bytesOf(await fetch(`${origin.url}/i/${hash}/original`))
    expect(await metric(origin, 'uses_noted_total')).toBe(1)
    expect(await metric(origin, 'cooling_looked_total')).toBe(0)
    expect(await metric(origin, 'schedule_cool_originals_runs_total')).toBe(0)
    await using without = await start(await ceph.createBucket())
    expect(await metric(without, 'uses_noted_total')).toBeNaN()
  })

  it('shares its store with another: what one rendered the other finds', async () => {
    const bucket = await ceph.createBucket()
    await using first = await start(bucket)
    await using second = await start(bucket)
    const { hash } = await first.upload(photo)
    const path = `/i/${hash}/320x.webp`
    const rendered = await bytesOf(await fetch(first.url + path))
    await expect.poll(async () => (await keysIn(ceph, bucket)).length).toBe(2)
    await second.upload(photo)
    const found = await fetch(second.url + path)
    expect(await bytesOf(found)).toEqual(rendered)
    expect(found.headers.get('cache-status')).toContain('oriel-store; hit')
    const original = await bytesOf(await fetch(`${second.url}/i/${hash}/original`))
    expect(createHash('sha256').update(original).digest('hex')).toBe(hash)
    expect(await keysIn(ceph, bucket)).toHaveLength(2)
  })

  it('without its store serves what it has, tells uploads to come back, and is well again with it', async () => {
    const bucket = await ceph.createBucket()
    await using proxy = await startFaultyProxy(ceph.port, 'http')
    await using origin = await start(bucket, proxy.url)
    const { hash } = await origin.upload(photo)
    const path = `${origin.url}/i/${hash}/320x.webp`
    const before = await bytesOf(await fetch(path))
    proxy.set({ down: true })
    expect(await bytesOf(await fetch(path))).toEqual(before)
    // Not rendered yet, but its original is here.
    expect((await fetch(`${origin.url}/i/${hash}/640x.webp`)).status).toBe(200)
    const refused = await fetch(`${origin.url}/i/${hash}/original`)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    const other = Uint8Array.from([...photo, 0])
    const upload = await origin.api('/assets/upload', {
      method: 'POST',
      headers: { 'Content-Type': 'image/jpeg' },
      body: other,
    })
    expect([upload.status, upload.headers.get('retry-after')]).toEqual([503, '5'])
    await expect.poll(() => readiness(origin)).toEqual(['ready', expect.objectContaining({ state: 'degraded' })])
    proxy.set({})
    await expect.poll(async () => (await fetch(`${origin.url}/i/${hash}/original`)).status, { interval: 200 }).toBe(200)
    await origin.upload(other)
  })

  it('does not start with credentials that the store refuses, and does not tell them', async () => {
    const bucket = await ceph.createBucket()
    const starting = start(bucket, ceph.endpoint, { AWS_SECRET_ACCESS_KEY: 'hunter2-hunter2' })
    await expect(starting).rejects.toThrow(
      `the S3 bucket ${bucket} cannot be used (ORIEL_BLOBS): SignatureDoesNotMatch`,
    )
    await expect(starting).rejects.not.toThrow('hunter2')
  })
})
