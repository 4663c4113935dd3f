import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { assertHeld } from '../../src/coordination/coordination.ts'
import { openPostgresLocker } from '../../src/coordination/postgres-locker.ts'
import { openPostgresNotices } from '../../src/coordination/postgres-notices.ts'
import { parseDigest } from '../../src/core/ids.ts'
import { openPostgresMetadata } from '../../src/metadata/postgres.ts'
import {
  lockerContract,
  noticesContract,
  sharedLockerContract,
  sharedNoticesContract,
} from '../contract/coordination.ts'
import { ask, describePostgres, type PostgresCluster, startPostgres } from '../engines/postgres.ts'

const never = new AbortController().signal
const digest = parseDigest('a'.repeat(64))
const noFault = (error: unknown) => {
  throw error
}

describePostgres('coordination in PostgreSQL', () => {
  let cluster: PostgresCluster
  let url = ''
  let opened = new AsyncDisposableStack()
  beforeAll(async () => {
    cluster = await startPostgres()
    url = await cluster.createDatabase()
    await using _migrated = await openPostgresMetadata({ url, place: 'here' })
  })
  afterEach(async () => {
    await opened.disposeAsync()
    opened = new AsyncDisposableStack()
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  const locker = async () => opened.use(await openPostgresLocker(url))
  const notices = async () => opened.use(await openPostgresNotices(url, noFault))
  /** Ends every session that listens or holds locks, as a failing network or an administrator does. */
  const cut = () =>
    ask(url, `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'oriel session'`)

  lockerContract('PostgreSQL', locker)
  sharedLockerContract('PostgreSQL', async () => [await locker(), await locker()])
  noticesContract('PostgreSQL', notices)
  sharedNoticesContract('PostgreSQL', async () => [await notices(), await notices()])

  it('a lease is lost with its connection, its holder is told, and another process gets the name', async () => {
    const [one, two] = [await locker(), await locker()]
    const lease = await one.acquire('a', never)
    const waiting = two.acquire('a', never)
    // Only the holder's session: sessions end one by one, and the other might win the name just before its own end.
    await ask(url, `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted`)
    await using next = await waiting
    await expect.poll(() => lease.lost.aborted, { timeout: 10_000 }).toBe(true)
    expect(() => assertHeld(lease)).toThrow(expect.objectContaining({ kind: 'busy' }))
    expect(next.token).toBeGreaterThan(lease.token)
    // What is lost is given back without effect on whoever has the name now.
    await lease[Symbol.asyncDispose]()
    await expect(one.acquire('a', AbortSignal.timeout(300))).rejects.toThrow()
    expect(next.lost.aborted).toBe(false)
    expect(one.stats()).toMatchObject({ held: 0, losses: 1 })
  })

  it('many names at once share the connection, and none is left held', async () => {
    const [one, two] = [await locker(), await locker()]
    await Promise.all(
      Array.from({ length: 600 }, async (_, n) => {
        await using _lease = await (n % 2 ? one : two).acquire(`name ${n % 150}`, never)
      }),
    )
    const left = () => ask(url, `select 1 from pg_locks where locktype = 'advisory'`)
    await expect.poll(left, { timeout: 10_000 }).toEqual([])
    expect(one.stats()).toMatchObject({ held: 0, contending: 0, losses: 0 })
  })

  it('says “forget everything” when its connection goes and when it is back, and is not live in between', async () => {
    const [one, two] = [await notices(), await notices()]
    const heard: string[] = []
    const liveWhenTold: boolean[] = []
    two.subscribe((changed) => {
      heard.push(changed)
      liveWhenTold.push(two.live())
    })
    await cut()
    await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['all', 'all'])
    expect(liveWhenTold).toEqual([false, true])
    // Both sessions were ended; the other may hear of it later, and what it says meanwhile would fail.
    await expect.poll(() => [one.stats().losses, one.live()]).toEqual([1, true])
    await one.publish(digest)
    await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['all', 'all', digest])
  })

  it('while the server is away: locks are busy, a notice tells this process and then says that others do not know', async () => {
    const [lock, board] = [await locker(), await notices()]
    const heard: string[] = []
    board.subscribe((changed) => heard.push(changed))
    await cluster.stop('fast')
    await expect.poll(board.live, { timeout: 10_000 }).toBe(false)
    const failing = await Promise.allSettled([lock.acquire('a', never), board.publish(digest)])
    for (const failed of failing) expect(failed).toMatchObject({ status: 'rejected', reason: { kind: 'busy' } })
    expect(heard).toEqual(['all', digest])
    await cluster.start()
    await expect.poll(board.live, { timeout: 20_000 }).toBe(true)
    await using lease = await lock.acquire('a', never)
    expect(lease.token).toBeGreaterThan(0)
  })
})
