import { createHash } from 'node:crypto'
import { access, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import {
  GetBucketLifecycleConfigurationCommand,
  HeadObjectCommand,
  PutBucketLifecycleConfigurationCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { probeS3 } from '../../src/blobs/s3-capabilities.ts'
import { chunkStoreContract } from '../contract/chunk-store.ts'
import { originalStoreContract } from '../contract/original-store.ts'
import { sampleKey, sampleVariant, variantStoreContract } from '../contract/variant-store.ts'
import { type Ceph, cephIsHere, KMS_KEY, startCeph } from '../engines/ceph.ts'
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

describe.runIf(cephIsHere)('on a Ceph gateway', () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph()
  })
  afterAll(() => ceph[Symbol.asyncDispose]())

  originalStoreContract('S3', async () => {
    const opened = await openS3(ceph)
    return { store: opened.originals, [Symbol.asyncDispose]: opened[Symbol.asyncDispose] }
  })

  chunkStoreContract('S3', async () => {
    const opened = await openS3(ceph, { location: { prefix: 'some/prefix/' } })
    const { chunks, originals } = opened
    return { chunks, originals, [Symbol.asyncDispose]: opened[Symbol.asyncDispose] }
  })

  variantStoreContract('S3', async () => {
    const opened = await openS3(ceph, { location: { prefix: 'some/prefix/' } })
    return { store: opened.variants, [Symbol.asyncDispose]: opened[Symbol.asyncDispose] }
  })

  describe('the S3 store of originals', () => {
    it('sends 40 MB in parts and gives back each byte and every range', async () => {
      await using s3 = await openS3(ceph)
      const bytes = sample(40 * MIB + 12_345)
      const digest = await s3.upload(bytes)
      expect(await s3.originals.size(digest)).toBe(bytes.length)
      // An entity tag with a dash and the number of parts: 40 MiB and a rest by 8 MiB.
      expect((await headOf(ceph, s3.bucket, originalKey(digest))).ETag).toMatch(/-6"$/)
      const hash = createHash('sha256')
      for await (const chunk of await s3.originals.read(digest, undefined, never)) hash.update(chunk as Buffer)
      expect(hash.digest('hex')).toBe(digest)
      const across = { start: 8 * MIB - 10, end: 8 * MIB + 9 }
      const part = await buffer(await s3.originals.read(digest, across, never))
      expect(part.equals(bytes.subarray(across.start, across.end + 1))).toBe(true)
      expect(await unfinishedUploads(ceph, s3.bucket)).toBe(0)
      expect(s3.stats.streams).toBe(0)
    })

    it('lets sixteen uploads of one picture race, to one object', async () => {
      const bucket = await ceph.createBucket()
      const origins = await Promise.all(Array.from({ length: 4 }, () => openS3(ceph, { bucket })))
      const bytes = sample(300_000)
      const digests = await Promise.all(origins.flatMap((s3) => Array.from({ length: 4 }, () => s3.upload(bytes))))
      expect(new Set(digests)).toEqual(new Set([digestOf(bytes)]))
      expect(await keysIn(ceph, bucket)).toEqual([originalKey(digestOf(bytes))])
      for (const s3 of origins) await s3[Symbol.asyncDispose]()
    })

    it('does not write what is there again, but cures an object of another size', async () => {
      await using s3 = await openS3(ceph)
      const bytes = sample(1000)
      const digest = await s3.upload(bytes)
      const written = (await headOf(ceph, s3.bucket, originalKey(digest))).LastModified
      // RGW's times are whole seconds.
      await new Promise((resolve) => setTimeout(resolve, 1100))
      await s3.upload(bytes)
      expect((await headOf(ceph, s3.bucket, originalKey(digest))).LastModified).toEqual(written)
      await ceph.client.send(
        new PutObjectCommand({ Bucket: s3.bucket, Key: originalKey(digest), Body: bytes.subarray(1) }),
      )
      await s3.upload(bytes)
      expect((await buffer(await s3.originals.read(digest, undefined, never))).equals(bytes)).toBe(true)
    })

    it('has the store refuse bytes that are not those of the digest', async () => {
      await using s3 = await openS3(ceph)
      await using staged = await s3.originals.stage(inChunks(sample(1000)), 1000, never)
      await writeFile(await staged.file(), sample(1000, 1))
      await expect(staged.publish()).rejects.toMatchObject({ kind: 'internal' })
      expect(await keysIn(ceph, s3.bucket)).toEqual([])
    })

    it('encrypts by KMS as told, small and large', async () => {
      const encryption = { kind: 'aws:kms', keyId: KMS_KEY } as const
      await using s3 = await openS3(ceph, { location: { encryption } })
      for (const bytes of [sample(1000), sample(17 * MIB)]) {
        const digest = await s3.upload(bytes)
        expect((await headOf(ceph, s3.bucket, originalKey(digest))).ServerSideEncryption).toBe('aws:kms')
        expect(digestOf(await buffer(await s3.originals.read(digest, undefined, never)))).toBe(digest)
      }
      await s3.variants.put(sampleKey('a'), sampleVariant(100))
      expect(await s3.variants.find(sampleKey('a'))).toBeDefined()
    })
  })

  describe('the local copies', () => {
    it('keep an uploaded picture, and download others once however many ask', async () => {
      await using s3 = await openS3(ceph)
      const digest = await s3.upload(sample(100_000))
      await using other = await openS3(ceph, { bucket: s3.bucket })
      for (const [store, downloads] of [
        [s3.originals, 0],
        [other.originals, 1],
      ] as const) {
        const files = await Promise.all(Array.from({ length: 20 }, () => store.open(digest, never)))
        expect(store.copyStats).toMatchObject({ downloads, files: 1, used: 20 })
        for (const file of files) await file[Symbol.asyncDispose]()
        expect(store.copyStats).toMatchObject({ files: 1, used: 0, bytes: 100_000 })
      }
    })

    it('stay within their budget, the longest unused going first and none in use', async () => {
      await using s3 = await openS3(ceph)
      const digests = []
      for (let seed = 0; seed < 6; seed++) digests.push(await s3.upload(sample(100_000, seed)))
      await using small = await openS3(ceph, { bucket: s3.bucket, copyBudgetBytes: 350_000 })
      const { originals } = small
      const [first = digestOf(sample(0)), ...rest] = digests
      {
        await using held = await originals.open(first, never)
        for (const digest of rest) await (await originals.open(digest, never))[Symbol.asyncDispose]()
        expect(digestOf(await readFile(held.path))).toBe(first)
        expect(originals.copyStats).toMatchObject({ files: 3, bytes: 300_000, evicted: 3 })
      }
      // What was evicted is off the books at once, and its file a moment later.
      await expect.poll(() => readdir(join(small.folder, 'copies'))).toHaveLength(3)
      // In use, three fill the budget: a fourth is told to retry, and given once there is room.
      const held = await Promise.all(rest.slice(0, 3).map((digest) => originals.open(digest, never)))
      await expect(originals.open(first, never)).rejects.toMatchObject({ kind: 'busy' })
      expect(originals.copyStats.bytes).toBe(300_000)
      expect(small.stats.streams).toBe(0)
      for (const file of held) await file[Symbol.asyncDispose]()
      await using again = await originals.open(first, never)
      expect(digestOf(await readFile(again.path))).toBe(first)
      expect(originals.copyStats.bytes).toBeLessThanOrEqual(350_000)
    })

    it('refuse bytes that are not those of the digest, and leave no file', async () => {
      await using s3 = await openS3(ceph)
      const digest = digestOf(sample(1000))
      const Key = originalKey(digest)
      await ceph.client.send(new PutObjectCommand({ Bucket: s3.bucket, Key, Body: sample(1000, 1) }))
      await expect(s3.originals.open(digest, never)).rejects.toMatchObject({ kind: 'internal' })
      expect(s3.originals.copyStats).toMatchObject({ corrupt: 1, files: 0, bytes: 0 })
      expect(await readdir(join(s3.folder, 'copies'))).toEqual([])
    })

    it('outlive the removal of the original while they are being read', async () => {
      await using s3 = await openS3(ceph)
      const digest = await s3.upload(sample(1000))
      const file = await s3.originals.open(digest, never)
      await s3.originals.remove(digest)
      expect(digestOf(await readFile(file.path))).toBe(digest)
      await file[Symbol.asyncDispose]()
      await expect(access(file.path)).rejects.toThrow('ENOENT')
      await expect(s3.originals.open(digest, never)).rejects.toMatchObject({ kind: 'internal' })
    })
  })

  describe('the S3 store of variants', () => {
    it('misses and removes an object that is rotten', async () => {
      await using s3 = await openS3(ceph)
      await s3.variants.put(sampleKey('a'), sampleVariant(100))
      const Key = `variants/${sampleKey('a')}`
      await ceph.client.send(new PutObjectCommand({ Bucket: s3.bucket, Key, Body: 'rotten' }))
      expect(await s3.variants.find(sampleKey('a'))).toBeUndefined()
      expect(s3.variants.stats.corrupt).toBe(1)
      expect(await keysIn(ceph, s3.bucket)).toEqual([])
    })

    it('writes a used variant anew once it is old, not before, whichever origin wrote it', async () => {
      await using s3 = await openS3(ceph)
      // Larger than what Ceph keeps in an object's head.
      const variant = sampleVariant(5 * 1024 * 1024)
      await s3.variants.put(sampleKey('a'), variant)
      const writtenAt = async () =>
        (await ceph.client.send(new HeadObjectCommand({ Bucket: s3.bucket, Key: `variants/${sampleKey('a')}` })))
          .LastModified
      const first = await writtenAt()
      // Whole seconds are what it counts in.
      await new Promise((resolve) => setTimeout(resolve, 1_100))
      await using young = await openS3(ceph, { bucket: s3.bucket })
      s3.variants.touch(sampleKey('a'))
      young.variants.touch(sampleKey('a'))
      // Another origin, which does not know the age: it asks, once.
      await using other = await openS3(ceph, { bucket: s3.bucket, rewriteEveryMs: 1_000 })
      for (let use = 0; use < 2; use++) other.variants.touch(sampleKey('a'))
      await expect.poll(() => other.variants.stats.rewritten).toBe(1)
      expect(await writtenAt()).not.toEqual(first)
      const found = await other.variants.find(sampleKey('a'))
      expect(found && Buffer.compare(found.bytes, variant.bytes)).toBe(0)
      expect([s3, young].map(({ variants }) => variants.stats.rewritten)).toEqual([0, 0])
    })

    it('writes an encrypted one anew, which Ceph 16.2 cannot copy, and none that is gone or rotten', async () => {
      const location = { encryption: { kind: 'aws:kms', keyId: KMS_KEY } } as const
      await using s3 = await openS3(ceph, { location, rewriteEveryMs: 0 })
      const Key = `variants/${sampleKey('a')}`
      await s3.variants.put(sampleKey('a'), sampleVariant(100))
      s3.variants.touch(sampleKey('a'))
      await expect.poll(() => s3.variants.stats.rewritten).toBe(1)
      const { ServerSideEncryption } = await ceph.client.send(new HeadObjectCommand({ Bucket: s3.bucket, Key }))
      expect(ServerSideEncryption).toBe('aws:kms')
      await ceph.client.send(new PutObjectCommand({ Bucket: s3.bucket, Key, Body: 'rotten' }))
      s3.variants.touch(sampleKey('a'))
      await expect.poll(() => s3.variants.stats.rewriteFaults).toBe(1)
      s3.variants.touch(sampleKey('b'))
      await expect.poll(() => s3.variants.find(sampleKey('b'))).toBeUndefined()
      expect(s3.variants.stats.rewritten).toBe(1)
    })
  })

  describe('at start', () => {
    it('puts its lifecycle rules once and keeps those of others', async () => {
      const bucket = await ceph.createBucket()
      const theirs = {
        ID: 'theirs',
        Status: 'Enabled' as const,
        Filter: { Prefix: 'logs/' },
        Expiration: { Days: 3 },
      }
      await ceph.client.send(
        new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration: { Rules: [theirs] } }),
      )
      const rules = async () =>
        (await ceph.client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }))).Rules ?? []
      for (const variantDays of [30, 30, 7]) {
        await using s3 = await openS3(ceph, { bucket, location: { prefix: 'a/', variantDays } })
        expect(s3.warnings).toEqual([])
        const found = await rules()
        expect(found).toHaveLength(4)
        expect(found).toContainEqual(theirs)
        expect(found.find(({ ID }) => ID === 'oriel-variants-a/')).toMatchObject({
          Filter: { Prefix: 'a/variants/' },
          Expiration: { Days: variantDays },
        })
      }
      await using _other = await openS3(ceph, { bucket, location: { prefix: 'b/' } })
      expect((await rules()).map(({ ID }) => ID).sort()).toEqual([
        'oriel-sessions-a/',
        'oriel-sessions-b/',
        'oriel-uploads-a/',
        'oriel-uploads-b/',
        'oriel-variants-a/',
        'oriel-variants-b/',
        'theirs',
      ])
    })

    it('leaves nothing of its probe behind', async () => {
      await using s3 = await openS3(ceph)
      expect(await keysIn(ceph, s3.bucket)).toEqual([])
    })

    it('refuses a bucket that is missing, and credentials that are wrong', async () => {
      await expect(openS3(ceph, { bucket: 'no-such-bucket' })).rejects.toThrow(
        'the S3 bucket no-such-bucket cannot be used (ORIEL_BLOBS): NoSuchBucket (404)',
      )
      const bucket = await ceph.createBucket()
      const wrong = { ...ceph, credentials: { ...ceph.credentials, AWS_SECRET_ACCESS_KEY: 'wrong' } }
      await expect(openS3(wrong, { bucket })).rejects.toThrow('SignatureDoesNotMatch (403)')
      const none = { ...ceph, credentials: { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' } }
      vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
      await expect(openS3(none, { bucket })).rejects.toThrow('cannot be used (ORIEL_BLOBS): Could not load credentials')
      vi.unstubAllEnvs()
    })

    it('refuses a store that takes an order to encrypt and does not follow it', async () => {
      // What Ceph 16.2 does with SSE-S3.
      await expect(openS3(ceph, { location: { encryption: { kind: 'AES256' } } })).rejects.toThrow(
        'does not encrypt by AES256',
      )
    })

    it('says that a store ignores conditional puts', async () => {
      const warnings: string[] = []
      const log = { info: () => undefined, warn: (_details: object, message: string) => void warnings.push(message) }
      // A store as old MinIO and s3rver are: takes the condition and overwrites.
      const store = { put: async () => true, head: async () => undefined, remove: async () => undefined }
      const location = { bucket: 'old', prefix: '', encryption: { kind: 'none' } } as const
      expect(await probeS3(store, location, log)).toEqual({ conditionalPut: false })
      expect(warnings).toEqual([expect.stringContaining('ignores If-None-Match')])
    })
  })
})
