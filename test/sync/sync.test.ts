import { join } from 'node:path'
import { openSqliteMetadata } from '../../src/metadata/sqlite.ts'
import { syncContract } from '../contract/sync.ts'
import { temporaryFolder } from '../fixtures/write-path.ts'

syncContract('SQLite', async () => {
  const folder = await temporaryFolder()
  const metadata = await openSqliteMetadata(join(folder.path, 'oriel.db'))
  return {
    one: metadata,
    two: metadata,
    [Symbol.asyncDispose]: async () => {
      await metadata[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
})
