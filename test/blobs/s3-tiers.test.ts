/** A colder class of storage on a real gateway that has one, and what is asked of a store at start. */
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createS3Bucket } from '../../src/blobs/s3-bucket.ts'
import { connectS3 } from '../../src/blobs/s3-client.ts'
import type { S3Location } from '../../src/blobs/s3-location.ts'
import { createS3Tiers, probeColdClass } from '../../src/blobs/s3-tiers.ts'
import { type Ceph, cephIsHere, KMS_KEY, startCeph } from '../engines/ceph.ts'
import { startFaultyProxy } from '../engines/faulty-proxy.ts'
import {
  digestOf,
  headOf,
  keysIn,
  locationOf,
  never,
  openS3,
  originalKey,
  sample,
  unfinishedUploads,
} from './s3-fixture.ts'

const MIB = 1024 * 1024
const COLD = 'COLD'
const cold = { storageClass: COLD, unseenDays: 30 }

describe.runIf(cephIsHere)('a colder class on a Ceph gateway', () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph({ storageClass: COLD })
  })
  afterAll(() => ceph[Symbol.asyncDispose]())

  const openCold = async (endpoint = ceph.endpoint) => {
    const s3 = await openS3(ceph, { endpoint, location: { cold, prefix: 'p/' } })
    const { tiers } = s3
    if (!tiers) throw new Error('no tiers')
    const head = (digest: ReturnType<typeof digestOf>) => headOf(ceph, s3.bucket, `p/${originalKey(digest)}`)
    return { ...s3, tiers, head }
  }
  const listed = async (s3: Awaited<ReturnType<typeof openCold>>) => {
    const tiers: string[] = []
    for await (const { tier } of s3.tiers.tiers()) tiers.push(tier)
    return tiers
  }

  it('moves an original there and back, and it is the same to its readers', async () => {
    await using s3 = await openCold()
    const bytes = sample(20 * MIB)
    const digest = await s3.upload(bytes)
    expect(await listed(s3)).toEqual(['standard'])
    expect(await s3.tiers.move(digest, bytes.length, 'standard', never)).toBe(false)
    expect(await s3.tiers.move(digest, bytes.length, 'cold', never)).toBe(true)
    expect((await s3.head(digest)).StorageClass).toBe(COLD)
    expect(await listed(s3)).toEqual(['cold'])
    expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
    expect(await s3.tiers.move(digest, bytes.length, 'cold', never)).toBe(false)
    expect(await s3.tiers.move(digest, bytes.length, 'standard', never)).toBe(true)
    expect(await listed(s3)).toEqual(['standard'])
    expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
  })

  it('moves what is too large for one copy in parts', async () => {
    await using s3 = await openCold()
    const bytes = sample(17 * MIB + 1)
    const digest = await s3.upload(bytes)
    const location = locationOf(s3.bucket, ceph.endpoint, { cold, prefix: 'p/' })
    using connection = connectS3(location)
    const tiers = createS3Tiers(connection, createS3Bucket(connection), COLD, 6 * MIB)
    const gone = AbortSignal.abort(new Error('the lock is lost'))
    await expect(tiers.move(digest, bytes.length, 'cold', gone)).rejects.toThrow('the lock is lost')
    expect(await listed(s3)).toEqual(['standard'])
    expect(await tiers.move(digest, bytes.length, 'cold', never)).toBe(true)
    const { StorageClass, ETag } = await s3.head(digest)
    expect([StorageClass, ETag]).toEqual([COLD, expect.stringMatching(/-3"$/)])
    expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
    expect(await unfinishedUploads(ceph, s3.bucket)).toBe(0)
  })

  it('leaves what is absent or of another size, and brings nothing back that was removed', async () => {
    await using s3 = await openCold()
    const digest = await s3.upload(sample(1000))
    expect(await s3.tiers.move(digest, 999, 'cold', never)).toBe(false)
    await s3.originals.remove(digest)
    expect(await s3.tiers.move(digest, 1000, 'cold', never)).toBe(false)
    expect(await keysIn(ceph, s3.bucket)).toEqual([])
  })

  it('takes a copy whose answer was lost for what it is', async () => {
    await using proxy = await startFaultyProxy(ceph.port, 'http')
    await using s3 = await openCold(proxy.url)
    const digest = await s3.upload(sample(1000))
    proxy.set({
      loseAnswer: true,
      times: 1,
      only: ({ method, headers }) => method === 'PUT' && 'x-amz-copy-source' in headers,
    })
    expect(await s3.tiers.move(digest, 1000, 'cold', never)).toBe(true)
    expect(proxy.done()).toBe(1)
    expect(await listed(s3)).toEqual(['cold'])
  })

  it('is left by an upload of the same bytes, and a new object is in the standard class', async () => {
    await using s3 = await openCold()
    const digest = await s3.upload(sample(1000))
    await s3.tiers.move(digest, 1000, 'cold', never)
    await s3.upload(sample(1000))
    expect(await listed(s3)).toEqual(['cold'])
    await s3.originals.remove(digest)
    await s3.upload(sample(1000))
    expect(await listed(s3)).toEqual(['standard'])
  })

  it('ends the start where the store has no such class, or cannot copy what is encrypted', async () => {
    const open = (location: Partial<S3Location>) => openS3(ceph, { location })
    await expect(open({ cold: { storageClass: 'NOSUCH', unseenDays: 30 } })).rejects.toThrow(
      'cannot store as NOSUCH what is read at once (cold_class): InvalidArgument (400)',
    )
    const encryption = { kind: 'aws:kms', keyId: KMS_KEY } as const
    await expect(open({ cold, encryption })).rejects.toThrow('cannot store as COLD')
  })

  it('ends the start where the store ignores the class, and leaves nothing of its probe behind', async () => {
    await using s3 = await openCold()
    expect(await keysIn(ceph, s3.bucket)).toEqual([])
    using connection = connectS3(locationOf(s3.bucket, ceph.endpoint, { cold }))
    const bucket = createS3Bucket(connection)
    const log = { info: () => undefined, warn: () => undefined }
    const head = async (key: string) => ({
      ...(await bucket.head(key)),
      bytes: 1,
      encryption: undefined,
      storageClass: undefined,
    })
    await expect(probeColdClass(connection, { ...bucket, head }, COLD, log)).rejects.toThrow('does not store as COLD')
    expect(await keysIn(ceph, s3.bucket)).toEqual([])
  })
})
