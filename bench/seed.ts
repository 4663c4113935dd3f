/** A data folder that knows a great many originals, without their bytes: rows only, written straight into Oriel's own schema. */
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Digests are spread evenly over the key space, in ascending order so that the table is filled from left to right. */
const STEP = 4_294

/** @param number below 1,000,000: 4,294 × 1,000,000 < 2³². @returns the digest of the seeded original, 64 hex digits. */
export const seededDigest = (number: number): string =>
  (number * STEP).toString(16).padStart(8, '0') + String(number).padStart(56, '0')

/** A digest beside the seeded one that nobody has. */
export const unknownDigest = (number: number): string =>
  (number * STEP + 1).toString(16).padStart(8, '0') + String(number).padStart(56, '0')

/** Size of seeded original `number` in bytes. */
export const seededBytes = (number: number): number => 100_000 + number

const ROWS = `
with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < :count)
`

/**
 * Adds `count` originals, each with one public asset: of `admin` the even ones, of somebody else the odd ones.
 * The server has made the schema and is not running.
 */
export const seedOriginals = (dataFolder: string, count: number): void => {
  const [path] = globSync('**/*.{sqlite,db,sqlite3}', { cwd: dataFolder })
  if (!path) throw new Error(`no database below ${dataFolder}`)
  const database = new DatabaseSync(join(dataFolder, path))
  database.exec('pragma synchronous = off; pragma cache_size = -400000; pragma temp_store = memory')
  // An index over a million rows is made in a second at the end, and in half a minute row by row.
  const indexes = database
    .prepare("select name, sql from sqlite_master where type = 'index' and tbl_name = 'assets' and sql is not null")
    .all()
  database.exec('begin')
  for (const { name } of indexes) database.exec(`drop index ${String(name)}`)
  database
    .prepare(
      `insert into originals (digest, bytes, format, width, height, orientation, pages, animated, has_alpha, colour_space,
         has_profile, created_at)
       ${ROWS} select printf('%08x%056d', i * ${STEP}, i), 100000 + i, 'jpeg', 2725, 2225, 1, 1, 0, 0, 'srgb', 0, i from n`,
    )
    .run({ count })
  database
    .prepare(
      `insert into assets (id, owner, digest, visibility, tags, bytes, format, created_at, updated_at)
       ${ROWS} select printf('a_%022d', i), iif(i % 2 = 0, 'admin', 'somebody'), printf('%08x%056d', i * ${STEP}, i),
         'public', '[]', 100000 + i, 'jpeg', i, i from n`,
    )
    .run({ count })
  for (const { sql } of indexes) database.exec(String(sql))
  database.exec('commit; pragma wal_checkpoint(truncate)')
  database.close()
}
