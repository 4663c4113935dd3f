/** Reconciler, scrub, the listers and the cooling on what origins share: a real S3 store and PostgreSQL. */
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPostgresLocker } from '../../src/coordination/postgres-locker.ts'
import { openPostgresNotices } from '../../src/coordination/postgres-notices.ts'
import { type Digest, parseDigest, parseOwnerId, variantKey } from '../../src/core/ids.ts'
import { ORIGINAL_FORMATS } from '../../src/core/image.ts'
import { createCommit } from '../../src/ingest/commit.ts'
import { createCooling } from '../../src/lifecycle/cooling.ts'
import { createPurging } from '../../src/lifecycle/purge.ts'
import { createReconcile } from '../../src/lifecycle/reconcile.ts'
import { createScrub } from '../../src/lifecycle/scrub.ts'
import { createUses } from '../../src/lifecycle/uses.ts'
import { findCondition } from '../../src/metadata/condition.ts'
import { NO_OUTBOX } from '../../src/metadata/outbox.ts'
import { openPostgresMetadata } from '../../src/metadata/postgres.ts'
import { inChunks, never, openS3, originalKey } from '../blobs/s3-fixture.ts'
import { sampleVariant } from '../contract/variant-store.ts'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { type PostgresCluster, postgresIsHere, startPostgres } from '../engines/postgres.ts'
import { picture, testProber } from '../fixtures/write-path.ts'

const policy = { formats: ORIGINAL_FORMATS, maxSide: 30_000, maxPixels: 1e8, maxPages: 500 }
const COLD = 'COLD'
const DAY_MS = 24 * 60 * 60 * 1000

describe.runIf(cephIsHere && postgresIsHere('lifecycle on shared stores'))('on Ceph and PostgreSQL', () => {
  let ceph: Ceph
  let cluster: PostgresCluster
  beforeAll(async () => {
    ;[ceph, cluster] = await Promise.all([startCeph({ storageClass: COLD }), startPostgres()])
  })
  afterAll(() => Promise.all([ceph[Symbol.asyncDispose](), cluster[Symbol.asyncDispose]()]))

  const openShared = async () => {
    const opened = new AsyncDisposableStack()
    const url = await cluster.createDatabase()
    const metadata = opened.use(await openPostgresMetadata({ url, place: 'here' }))
    const locker = opened.use(await openPostgresLocker(url))
    const notices = opened.use(await openPostgresNotices(url, () => undefined))
    const s3 = opened.use(
      await openS3(ceph, { location: { prefix: 'o/', cold: { storageClass: COLD, unseenDays: 30 } } }),
    )
    const { originals, variants, tiers } = s3
    if (!tiers) throw new Error('no tiers')
    const base = { metadata, originals, variants, locker, notices, outbox: NO_OUTBOX }
    const { commit } = createCommit({
      ...base,
      prober: testProber,
      policy,
      defaultVisibility: 'public',
      newScan: 'none',
    })
    const add = async (seed: number): Promise<Digest> => {
      const bytes = await picture(seed)
      await using staged = await originals.stage(inChunks(bytes), bytes.length, never)
      await commit({ staged, ownerId: parseOwnerId('alice'), details: {}, idempotencyKey: undefined }, never)
      return staged.digest
    }
    const objectOf = (digest: Digest) => ({ Bucket: s3.bucket, Key: `o/${originalKey(digest)}` })
    const purging = createPurging(base)
    const reconcile = createReconcile({ ...base, variantLister: variants, purging, graceMs: 0 })
    const faultOf = async (digest: Digest) => (await findCondition(metadata.read, digest))?.fault
    return {
      ...base,
      tiers,
      add,
      objectOf,
      reconcile,
      faultOf,
      [Symbol.asyncDispose]: () => opened.disposeAsync(),
    }
  }

  it('the reconciler reports every kind of fault, repairs it when told, and then finds nothing', async () => {
    await using shared = await openShared()
    const { originals, variants, reconcile, add, objectOf, faultOf } = shared
    const sound = []
    for (let seed = 1; seed <= 5; seed++) sound.push(await add(seed))
    expect(await reconcile(false, never)).toMatchObject({ stored: 5, rows: 5, findings: [], repaired: 0 })
    const [missing, short, orphanBytes] = [await add(6), await add(7), Buffer.from('orphan')]
    await ceph.client.send(new DeleteObjectCommand(objectOf(missing)))
    await ceph.client.send(new PutObjectCommand({ ...objectOf(short), Body: 'short' }))
    await using orphan = await originals.stage(inChunks(orphanBytes), 100, never)
    await orphan.publish()
    const stray = parseDigest('f'.repeat(64))
    const [first = stray] = sound
    for (const digest of [stray, first]) await variants.put(variantKey(digest, 'x.webp'), sampleVariant(10))
    // The store's clock has whole seconds: what was stored in this one may be younger than a grace of none.
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const found = { orphan: 1, missing: 1, damaged: 1, sound: 0, variants: 1 }
    expect(await reconcile(true, never)).toMatchObject({ stored: 7, rows: 7, found, repaired: 0 })
    expect(await faultOf(missing)).toBeNull()
    expect(await reconcile(false, never)).toMatchObject({ found, repaired: 4 })
    expect([await faultOf(missing), await faultOf(short), await faultOf(first)]).toEqual(['missing', 'damaged', null])
    expect(await variants.find(variantKey(first, 'x.webp'))).toBeDefined()
    expect(await variants.find(variantKey(stray, 'x.webp'))).toBeUndefined()
    expect(await reconcile(false, never)).toMatchObject({ findings: [], quarantined: 1 })
    expect(await add(6)).toBe(missing)
    expect(await faultOf(missing)).toBeNull()
  })

  it('the variant lister names every digest, over pages of a thousand', async () => {
    await using shared = await openShared()
    const { variants } = shared
    const digests = Array.from({ length: 3 }, (_, n) => parseDigest(`${n}`.repeat(64)))
    const keys = digests.flatMap((digest) => Array.from({ length: 350 }, (_, n) => variantKey(digest, `${n}x.webp`)))
    const stored = sampleVariant(10)
    for (let at = 0; at < keys.length; at += 50)
      await Promise.all(keys.slice(at, at + 50).map((key) => variants.put(key, stored)))
    const listed: Digest[] = []
    for await (const digest of variants.digests()) listed.push(digest)
    expect(listed).toEqual(digests)
  })

  it('the scrub finds bytes that are not what they were, and an upload is the cure', async () => {
    await using shared = await openShared()
    const { add, objectOf, faultOf, originals } = shared
    const [sound, rotten, missing] = [await add(1), await add(2), await add(3)]
    const flipped = Buffer.from(await picture(2))
    flipped[100] = (flipped[100] ?? 0) ^ 1
    await ceph.client.send(new PutObjectCommand({ ...objectOf(rotten), Body: flipped }))
    await ceph.client.send(new DeleteObjectCommand(objectOf(missing)))
    const scrub = createScrub(shared, Number.POSITIVE_INFINITY)
    expect(await scrub.run(never)).toMatchObject({ checked: 3, damaged: 1, missing: 1, unread: 0 })
    expect([await faultOf(sound), await faultOf(rotten), await faultOf(missing)]).toEqual([null, 'damaged', 'missing'])
    expect(await scrub.report()).toMatchObject({ checked: 3, damaged: 1 })
    for (const seed of [2, 3]) await add(seed)
    expect(await scrub.run(never)).toMatchObject({ checked: 3, damaged: 0, missing: 0 })
    expect(await originals.size(rotten)).toBe(flipped.length)
  })

  it('an original unseen for long is moved, read, noted, and moved back; an upload finds it where it lies', async () => {
    await using shared = await openShared()
    const { metadata, tiers, originals, add } = shared
    const [unseen, seen] = [await add(1), await add(2)]
    const old = Date.now() - 90 * DAY_MS
    await metadata.transaction((t) => sql`update originals set created_at = ${old} where digest = ${unseen}`.execute(t))
    const tiersNow = async () => {
      const found = new Map<Digest, string>()
      for await (const { digest, tier } of tiers.tiers()) found.set(digest, tier)
      return [found.get(unseen), found.get(seen)]
    }
    const uses = createUses(metadata)
    await (await uses.noting(originals).open(seen, never))[Symbol.asyncDispose]()
    expect(await uses.flush(never)).toBe(1)
    const onFault = (error: unknown) => {
      throw error
    }
    const cooling = createCooling({ ...shared, onFault }, { unseenMs: DAY_MS, minBytes: 0 })
    expect(await cooling.run(never)).toBe(1)
    expect(await tiersNow()).toEqual(['cold', 'standard'])
    await add(1)
    expect(await tiersNow()).toEqual(['cold', 'standard'])
    await (await uses.noting(originals).open(unseen, never))[Symbol.asyncDispose]()
    expect(await uses.flush(never)).toBe(1)
    expect(await cooling.run(never)).toBe(1)
    expect(await tiersNow()).toEqual(['standard', 'standard'])
  })
})
