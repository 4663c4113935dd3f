/** The S3 stores over a network that is slow, cuts, fails and goes away. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sampleKey, sampleVariant } from '../contract/variant-store.ts'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { type Faults, type SeenRequest, startFaultyProxy } from '../engines/faulty-proxy.ts'
import { digestOf, inChunks, keysIn, never, openS3, sample, unfinishedUploads } from './s3-fixture.ts'

const MIB = 1024 * 1024
const isOriginal = ({ method, path }: SeenRequest) => method === 'GET' && path.includes('/originals/')
const isPart = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('partNumber=')

describe.runIf(cephIsHere)('the S3 stores', () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph()
  })
  afterAll(() => ceph[Symbol.asyncDispose]())

  /** A store behind a proxy, opened while all is well. */
  const openBehindProxy = async (options: Parameters<typeof openS3>[1] = {}) => {
    const proxy = await startFaultyProxy(ceph.port, 'http')
    const s3 = await openS3(ceph, { ...options, endpoint: proxy.url })
    return {
      ...s3,
      proxy,
      [Symbol.asyncDispose]: async () => {
        await s3[Symbol.asyncDispose]()
        await proxy[Symbol.asyncDispose]()
      },
    }
  }

  it('go on with a body that was cut, whole and ranged, without the reader seeing it', async () => {
    await using s3 = await openBehindProxy()
    const bytes = sample(3 * MIB)
    const digest = await s3.upload(bytes)
    s3.proxy.set({ cutAfterBytes: 500_000, only: isOriginal, times: 3 })
    expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
    expect(s3.proxy.done()).toBe(3)
    s3.proxy.set({ cutAfterBytes: 1000, only: isOriginal, times: 1 })
    const part = await buffer(await s3.originals.read(digest, { start: 1_000_000, end: 1_999_999 }, never))
    expect(part.equals(bytes.subarray(1_000_000, 2_000_000))).toBe(true)
    expect(s3.stats.bodyFaults).toBe(4)
    const asked = s3.proxy.seen.filter(isOriginal).map(({ headers }) => headers.range)
    expect(asked.at(-1)).toBe('bytes=1001000-1999999')
  })

  it('go on with a body that stands still, and with a reader that does', async () => {
    await using s3 = await openBehindProxy({ idleMs: 2_000 })
    const digest = await s3.upload(sample(8 * MIB))
    s3.proxy.set({ stallAfterBytes: 500_000, only: isOriginal, times: 1 })
    expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
    expect(s3.stats.bodyFaults).toBe(1)
    s3.proxy.set({})
    const slowly = await s3.originals.read(digest, undefined, never)
    // Its connection is given up meanwhile: a client that stands still holds no socket of ours.
    await sleep(2_500)
    expect(digestOf(await buffer(slowly))).toBe(digest)
  })

  it('fail the stream of a body that is cut again and again before its first byte', async () => {
    await using s3 = await openBehindProxy()
    const digest = await s3.upload(sample(MIB))
    s3.proxy.set({ cutAfterBytes: 0, only: isOriginal })
    const stream = await s3.originals.read(digest, undefined, never)
    await expect(buffer(stream)).rejects.toMatchObject({ kind: 'busy' })
    expect(s3.proxy.done()).toBe(3)
    expect(s3.stats.streams).toBe(0)
  })

  it('copy a cut original whole, or leave no file of it', async () => {
    await using s3 = await openBehindProxy()
    const digest = await s3.upload(sample(3 * MIB))
    await using other = await openBehindProxy({ bucket: s3.bucket })
    other.proxy.set({ cutAfterBytes: 0, only: isOriginal })
    await expect(other.originals.open(digest, never)).rejects.toMatchObject({ kind: 'busy' })
    expect(await readdir(join(other.folder, 'copies'))).toEqual([])
    expect(other.originals.copyStats).toMatchObject({ files: 0, bytes: 0, used: 0 })
    other.proxy.set({ cutAfterBytes: 2 * MIB, only: isOriginal, times: 1 })
    await using _file = await other.originals.open(digest, never)
    expect(other.originals.copyStats).toMatchObject({ files: 1, bytes: 3 * MIB, used: 1, corrupt: 0 })
  })

  it('let go of a body when its reader leaves, and of a download when all have', async () => {
    await using s3 = await openBehindProxy()
    const digest = await s3.upload(sample(4 * MIB))
    const [first, second] = [new AbortController(), new AbortController()]
    const reading = await s3.originals.read(digest, undefined, first.signal)
    first.abort(new Error('left'))
    await expect(buffer(reading)).rejects.toThrow('left')
    const leaving = await s3.originals.read(digest, undefined, never)
    leaving.destroy()
    await expect.poll(() => s3.stats.streams).toBe(0)
    await using other = await openBehindProxy({ bucket: s3.bucket })
    other.proxy.set({ hang: true, only: isOriginal })
    const opening = Promise.allSettled([
      other.originals.open(digest, second.signal),
      other.originals.open(digest, AbortSignal.timeout(30)),
    ])
    await expect.poll(() => other.proxy.done()).toBe(1)
    second.abort(new Error('left too'))
    expect((await opening).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    other.proxy.set({})
    await using _file = await other.originals.open(digest, never)
    expect(other.stats).toMatchObject({ faults: 0, streams: 0 })
  })

  it.for([
    ['slow by 50 ms', { delayMs: 50 }],
    ['failing one request in five', { failOneIn: 5 }],
  ] as const)('work on a store that is %s', async ([, faults]: readonly [string, Faults]) => {
    await using s3 = await openBehindProxy()
    s3.proxy.set(faults)
    const pictures = [...Array.from({ length: 12 }, (_, seed) => sample(50_000, seed)), sample(20 * MIB, 99)]
    const digests = await Promise.all(pictures.map((bytes) => s3.upload(bytes)))
    expect(digests).toEqual(pictures.map(digestOf))
    for (const digest of digests)
      expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
    for (const name of ['1', '2', '3']) await s3.variants.put(sampleKey('a', name), sampleVariant(1000))
    expect(await s3.variants.find(sampleKey('a', '2'))).toBeDefined()
    expect(s3.proxy.done()).toBeGreaterThan(0)
    expect(s3.stats).toMatchObject({ faults: 0, opened: 0 })
  })

  it('leave neither object nor parts of an upload that failed', async () => {
    await using s3 = await openBehindProxy()
    const bytes = sample(20 * MIB)
    await using staged = await s3.originals.stage(inChunks(bytes), bytes.length, never)
    s3.proxy.set({ failOneIn: 1, only: isPart })
    await expect(staged.publish()).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: 5 })
    expect(await keysIn(ceph, s3.bucket)).toEqual([])
    expect(await unfinishedUploads(ceph, s3.bucket)).toBe(0)
    // And it can be tried again: the staged file is still there.
    s3.proxy.set({})
    await staged.publish()
    expect(await s3.originals.size(staged.digest)).toBe(bytes.length)
  })

  it('stop asking a store that is gone, and say so', async () => {
    // So long that no call of these tries again whether it is back, however slowly they go.
    await using s3 = await openBehindProxy({ openMs: 60_000 })
    const digest = await s3.upload(sample(1000))
    await s3.variants.put(sampleKey('a'), sampleVariant(100))
    s3.proxy.set({ down: true })
    for (let call = 0; call < 20; call++)
      await expect(s3.originals.size(digest)).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: 5 })
    expect(s3.stats).toMatchObject({ open: 1, opened: 1 })
    const { faults } = s3.stats
    expect(faults).toBeLessThan(20)
    // Not tried any more: busy for originals, a miss for variants; and the check says why.
    await expect(s3.originals.read(digest, undefined, never)).rejects.toMatchObject({ kind: 'busy' })
    expect(await s3.variants.find(sampleKey('a'))).toBeUndefined()
    await expect(s3.variants.put(sampleKey('b'), sampleVariant(1))).rejects.toMatchObject({ kind: 'busy' })
    expect(await s3.check()).toContain('does not answer')
    expect(s3.stats.faults).toBe(faults)
    // What was copied here before can still be rendered.
    await using _file = await s3.originals.open(digest, never)
  })

  it('come back with a store that was gone', async () => {
    await using s3 = await openBehindProxy({ openMs: 100 })
    const digest = await s3.upload(sample(1000))
    await s3.variants.put(sampleKey('a'), sampleVariant(100))
    s3.proxy.set({ down: true })
    while (s3.stats.open === 0)
      await expect(s3.originals.size(digest)).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: 5 })
    s3.proxy.set({})
    await expect.poll(() => s3.originals.size(digest).catch(() => 'not yet')).toBe(1000)
    expect(await s3.variants.find(sampleKey('a'))).toBeDefined()
    expect(await s3.check()).toBeUndefined()
    expect(s3.stats.open).toBe(0)
  })

  it('start on a store that is down, and work when it is up', async () => {
    await using proxy = await startFaultyProxy(ceph.port, 'http')
    const bucket = await ceph.createBucket()
    proxy.set({ down: true })
    await using s3 = await openS3(ceph, { endpoint: proxy.url, bucket, openMs: 100 })
    expect(s3.warnings[0]).toContain('does not answer; started without it')
    proxy.set({})
    await sleep(150)
    const digest = await s3.upload(sample(1000))
    expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
  })
})
