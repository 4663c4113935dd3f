import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Locker } from '../../src/coordination/coordination.ts'
import { createInProcessNotices } from '../../src/coordination/in-process.ts'
import { openPostgresLocker } from '../../src/coordination/postgres-locker.ts'
import { openPostgresNotices } from '../../src/coordination/postgres-notices.ts'
import { openPostgresMetadata } from '../../src/metadata/postgres.ts'
import { openSqliteMetadata } from '../../src/metadata/sqlite.ts'
import { expectRacesHeld, type RaceRig } from '../contract/write-path-races.ts'
import { describePostgres, type PostgresCluster, startPostgres } from '../engines/postgres.ts'
import { openWritePath, temporaryFolder, temporaryWritePath } from '../fixtures/write-path.ts'

/** Lets everybody in: what is left of a locker whose leases are all lost and nobody has noticed. */
const openDoor: Locker = {
  acquire: async () => ({
    token: 0,
    lost: new AbortController().signal,
    [Symbol.asyncDispose]: async () => undefined,
  }),
}

describe('uploads, deletes, restores, cleanups and sweeps of the same hashes at once', () => {
  it('never leave a live asset without its bytes, nor bytes without a reference', async () => {
    const open: RaceRig['open'] = async (onStep) => {
      const path = await temporaryWritePath({ graceMs: 0, onStep })
      return { paths: [path], [Symbol.asyncDispose]: path[Symbol.asyncDispose] }
    }
    await expectRacesHeld({ open, allowed: [201], runs: 60 })
  })

  it('never leave an asset without its bytes where no lock holds: the marks of removals do', async () => {
    const open: RaceRig['open'] = async (onStep) => {
      const folder = await temporaryFolder()
      const metadata = await openSqliteMetadata(`${folder.path}/oriel.db`)
      const shared = { metadata, locker: openDoor, notices: createInProcessNotices() }
      const path = await openWritePath({ folder: folder.path, graceMs: 0, onStep, shared })
      return { paths: [path], [Symbol.asyncDispose]: path[Symbol.asyncDispose] }
    }
    await expectRacesHeld({ open, allowed: [201, 503], runs: 60 })
  })
})

describePostgres('the same, of two processes on one PostgreSQL', () => {
  let cluster: PostgresCluster
  beforeAll(async () => {
    cluster = await startPostgres()
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  const openTwo =
    (locked: boolean): RaceRig['open'] =>
    async (onStep) => {
      const opened = new AsyncDisposableStack()
      const folder = opened.use(await temporaryFolder())
      const url = await cluster.createDatabase()
      const openOne = async () => {
        const metadata = await openPostgresMetadata({ url, place: 'here' })
        const locker = locked ? opened.use(await openPostgresLocker(url)) : openDoor
        const notices = opened.use(await openPostgresNotices(url, () => undefined))
        return opened.use(
          await openWritePath({ folder: folder.path, graceMs: 0, onStep, shared: { metadata, locker, notices } }),
        )
      }
      const paths = [await openOne(), await openOne()]
      return { paths, [Symbol.asyncDispose]: () => opened.disposeAsync() }
    }

  it('under its locks', async () => {
    await expectRacesHeld({ open: openTwo(true), allowed: [201], runs: 25 })
  })

  it('where no lock holds', async () => {
    await expectRacesHeld({ open: openTwo(false), allowed: [201, 503], runs: 25 })
  })
})
