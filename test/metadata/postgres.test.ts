import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Metadata } from '../../src/metadata/database.ts'
import { openPostgresMetadata } from '../../src/metadata/postgres.ts'
import { asset, digestOf, metadataContract, store } from '../contract/metadata.ts'
import { outboxContract } from '../contract/outbox.ts'
import { uploadRowsContract } from '../contract/upload-rows.ts'
import { ask, describePostgres, type PostgresCluster, startPostgres } from '../engines/postgres.ts'

const openAt = (url: string): Promise<Metadata> => openPostgresMetadata({ url, place: 'postgres://here/db' })

describePostgres('metadata in PostgreSQL', () => {
  let cluster: PostgresCluster
  beforeAll(async () => {
    cluster = await startPostgres()
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  const openRig = async () => {
    const url = await cluster.createDatabase()
    const [one, two] = await Promise.all([openAt(url), openAt(url)])
    return {
      one,
      two,
      [Symbol.asyncDispose]: async () => {
        await Promise.all([one, two].map((metadata) => metadata[Symbol.asyncDispose]()))
      },
    }
  }
  metadataContract('PostgreSQL, two processes', openRig)
  uploadRowsContract('PostgreSQL, two processes', openRig)
  outboxContract('PostgreSQL, two processes', openRig)

  it('migrates once, however many start at the same time, and refuses a newer schema', async () => {
    const url = await cluster.createDatabase()
    const all = await Promise.all(Array.from({ length: 6 }, () => openAt(url)))
    for (const metadata of all) await metadata[Symbol.asyncDispose]()
    expect(await ask(url, 'select version from schema_version')).toEqual([{ version: expect.any(Number) }])
    await ask(url, 'update schema_version set version = 999')
    await expect(openAt(url)).rejects.toThrow('schema 999')
  })

  it('says at start what is wrong, and not the password', async () => {
    const url = new URL(await cluster.createDatabase())
    url.password = 'hunter2'
    url.pathname = '/no_such_database'
    const failing = openPostgresMetadata({ url: url.href, place: 'postgres://here/no_such_database' })
    await expect(failing).rejects.toThrow(/postgres:\/\/here\/no_such_database \(ORIEL_DATABASE\).*does not exist/)
    await expect(failing).rejects.not.toThrow('hunter2')
  })

  it('refuses text that it cannot hold as the caller’s fault', async () => {
    await using metadata = await openAt(await cluster.createDatabase())
    const asked = metadata.read.selectFrom('api_keys').select('id').where('id', '=', 'a\u0000b').execute()
    await expect(asked).rejects.toMatchObject({ kind: 'bad-request' })
  })

  it('is busy while the server is away, for all who ask, and works again when it is back', async () => {
    const url = await cluster.createDatabase()
    await using metadata = await openAt(url)
    const write = (n: number) => metadata.transaction((t) => store(t, asset(digestOf(n))))
    await write(1)
    const midway = metadata.transaction(async (t) => {
      await store(t, asset(digestOf(2)))
      await cluster.stop('fast')
      await store(t, asset(digestOf(3)))
    })
    await expect(midway).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: expect.any(Number) })
    const look = () => metadata.read.selectFrom('assets').select('id').execute()
    for (const failed of await Promise.allSettled([look(), write(4), look(), write(5)]))
      expect(failed).toMatchObject({ status: 'rejected', reason: { kind: 'busy' } })
    await cluster.start()
    await expect.poll(() => look().catch(() => []), { timeout: 20_000 }).toHaveLength(1)
    await write(6)
    expect(await look()).toHaveLength(2)
    expect(metadata.stats().errors).toBeGreaterThan(0)
  })

  it('loses nothing that was acknowledged when the server is killed under load', async () => {
    const url = await cluster.createDatabase()
    await using one = await openAt(url)
    await using two = await openAt(url)
    const acknowledged: string[] = []
    let failures = 0
    let done = false
    const writer = async (metadata: Metadata, from: number) => {
      for (let n = from; !done; n++) {
        const mine = asset(digestOf(n))
        const kept = await metadata
          .transaction((t) => store(t, mine))
          .then(
            () => true,
            (error: unknown) => {
              expect(error).toMatchObject({ kind: 'busy' })
              return false
            },
          )
        if (kept) acknowledged.push(mine.id)
        else failures += 1
      }
    }
    const writers = [one, two, one, two].map((metadata, at) => writer(metadata, (at + 1) * 1_000_000))
    for (const mode of ['immediate', 'fast', 'immediate'] as const) {
      const before = acknowledged.length
      await expect.poll(() => acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(before + 20)
      await cluster.restart(mode)
    }
    const before = acknowledged.length
    await expect.poll(() => acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(before + 20)
    done = true
    await Promise.all(writers)
    const rows = await one.read.selectFrom('assets').select('id').execute()
    const kept = new Set(rows.map(({ id }) => id))
    expect(acknowledged.filter((id) => !kept.has(id as never))).toEqual([])
    expect(failures).toBeGreaterThan(0)
    // In doubt is only what was under way at each of the three stops.
    expect(kept.size - acknowledged.length).toBeLessThanOrEqual(12)
  })

  it('tells those to retry who find no connection left at the server', async () => {
    await using small = await startPostgres(12)
    const url = await small.createDatabase()
    await using one = await openAt(url)
    await using two = await openAt(url)
    const hold = (metadata: Metadata) =>
      Promise.allSettled(
        Array.from({ length: 8 }, () =>
          metadata.transaction((t) => sql`select pg_sleep(0.3)`.execute(t)).then(() => undefined),
        ),
      )
    const looks = (metadata: Metadata) =>
      Promise.allSettled(Array.from({ length: 8 }, () => sql`select pg_sleep(0.3)`.execute(metadata.read)))
    const results = (await Promise.all([hold(one), hold(two), looks(one), looks(two)])).flat()
    const failed = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
    expect(failed.length).toBeGreaterThan(0)
    for (const error of failed) expect(error).toMatchObject({ kind: 'busy' })
  })

  it.for([
    ['deliver', `select * from originals o where digest = 'x'`],
    ['precheck', `select id from assets where owner = 'o' and digest = 'd' and deleted_at is null limit 1`],
    [
      'subject',
      `select owner from assets where digest = 'd' and visibility = 'public' and deleted_at is null order by deleted_at, created_at limit 1`,
    ],
    [
      'subject, deleted',
      `select owner from assets where digest = 'd' and visibility = 'public' and deleted_at is not null order by deleted_at, created_at limit 1`,
    ],
    [
      'list',
      `select * from assets where assets.owner = 'o' and (assets.created_at, assets.id) < (1, 'a') order by assets.created_at desc, assets.id desc limit 50`,
    ],
    [
      'list by name',
      `select * from assets where owner = 'o' and (coalesce(assets.filename, ''), assets.id) > ('a', 'a') order by coalesce(assets.filename, ''), assets.id limit 50`,
    ],
    ['sweep', 'select id from assets where deleted_at is not null and deleted_at <= 1 order by deleted_at limit 200'],
    ['unfinished removals', 'select digest from removals where pending = 1 and at <= 1 order by at limit 200'],
  ] as const)('can answer %s from an index, without a sort', async ([, query]) => {
    await using metadata = await openAt(await cluster.createDatabase())
    // A planner that sees empty tables would scan them; what matters is that the index fits.
    const plan = await metadata.transaction(async (t) => {
      await sql`set local enable_bitmapscan = off`.execute(t)
      return sql<{ 'QUERY PLAN': string }>`explain ${sql.raw(query)}`.execute(t)
    })
    const text = plan.rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(text).toMatch(/Index (Only )?Scan/)
    expect(text).not.toMatch(/Seq Scan|Sort/)
  })
})
