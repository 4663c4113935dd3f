import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { hashKey } from '../../src/http/principal.ts'
import { openSqliteMetadata } from '../../src/metadata/sqlite.ts'
import { metadataContract } from '../contract/metadata.ts'
import { outboxContract } from '../contract/outbox.ts'
import { uploadRowsContract } from '../contract/upload-rows.ts'
import { temporaryFolder } from '../fixtures/write-path.ts'

const open = async () => {
  const folder = await temporaryFolder()
  const path = join(folder.path, 'deep', 'oriel.db')
  const metadata = await openSqliteMetadata(path)
  return {
    metadata,
    path,
    [Symbol.asyncDispose]: async () => {
      await metadata[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const key = (id: string) => ({ hash: hashKey(id), id, owner: 'a', name: 'n', created_at: 1, revoked_at: null })

const openRig = async () => {
  const opened = await open()
  return { one: opened.metadata, two: opened.metadata, [Symbol.asyncDispose]: opened[Symbol.asyncDispose] }
}
metadataContract('SQLite', openRig)
uploadRowsContract('SQLite', openRig)
outboxContract('SQLite', openRig)

describe('metadata in SQLite', () => {
  it('keeps rows over a restart, writes through a log that is synced, and refuses a newer schema', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'oriel.db')
    {
      await using metadata = await openSqliteMetadata(path)
      await metadata.transaction((t) => t.insertInto('api_keys').values(key('x')).execute())
    }
    {
      await using metadata = await openSqliteMetadata(path)
      expect(await metadata.read.selectFrom('api_keys').select('id').execute()).toEqual([{ id: 'x' }])
      const synchronous = await metadata.transaction((t) => sql`pragma synchronous`.execute(t))
      expect(synchronous.rows).toEqual([{ synchronous: 2 }])
    }
    const database = new DatabaseSync(path)
    expect(database.prepare('pragma journal_mode').get()).toMatchObject({ journal_mode: 'wal' })
    database.exec('pragma user_version = 999')
    database.close()
    await expect(openSqliteMetadata(path)).rejects.toThrow('schema 999')
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
      `select * from assets join originals using (digest) where assets.owner = 'o' and assets.deleted_at is null and (assets.created_at, assets.id) < (1, 'a') order by assets.created_at desc, assets.id desc limit 50`,
    ],
    [
      'list by name',
      `select * from assets where owner = 'o' and (coalesce(assets.filename, ''), assets.id) > ('a', 'a') order by coalesce(assets.filename, ''), assets.id limit 50`,
    ],
    ['sweep', 'select id from assets where deleted_at is not null and deleted_at <= 1 order by deleted_at limit 200'],
  ] as const)('answers %s from an index, without a scan or a sort', async ([, query]) => {
    await using opened = await open()
    const plan = await sql<{ detail: string }>`explain query plan ${sql.raw(query)}`.execute(opened.metadata.read)
    const details = plan.rows.map(({ detail }) => detail).join('; ')
    expect(details).toContain('SEARCH')
    expect(details).not.toMatch(/SCAN|TEMP B-TREE/)
  })
})
