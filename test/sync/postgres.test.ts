import { afterAll, beforeAll } from 'vitest'
import { openPostgresMetadata } from '../../src/metadata/postgres.ts'
import { syncContract } from '../contract/sync.ts'
import { describePostgres, type PostgresCluster, startPostgres } from '../engines/postgres.ts'

/** A database of its own for each history costs a tenth of a second. */
const HISTORIES = 10

describePostgres('sync over PostgreSQL', () => {
  let cluster: PostgresCluster
  beforeAll(async () => {
    cluster = await startPostgres()
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  syncContract(
    'PostgreSQL, two processes',
    async () => {
      const url = await cluster.createDatabase()
      const open = () => openPostgresMetadata({ url, place: 'postgres://here/db' })
      const [one, two] = await Promise.all([open(), open()])
      return {
        one,
        two,
        [Symbol.asyncDispose]: async () => {
          await Promise.all([one, two].map((metadata) => metadata[Symbol.asyncDispose]()))
        },
      }
    },
    HISTORIES,
  )
})
