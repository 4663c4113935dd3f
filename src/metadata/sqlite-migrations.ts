/** The schema in SQLite's words; its version is the file's `user_version`. */
import type { DatabaseSync } from 'node:sqlite'
import { stepsFrom, type Words } from './migrations.ts'

const WORDS: Words = {
  text: 'text',
  integer: 'integer',
  real: 'real',
  sequence: 'integer primary key autoincrement',
  keyed: 'strict, without rowid',
  plain: 'strict',
  // One transaction at a time writes here, so their order is the order of the numbers.
  inOrder: () => '',
  leases: '',
}

/** Brings the database to the newest schema, each step with its number in one transaction. @throws Error as `stepsFrom`. */
export const migrateSqlite = (database: DatabaseSync): void => {
  const version = Number(database.prepare('pragma user_version').get()?.user_version ?? 0)
  for (const step of stepsFrom(version, WORDS))
    database.exec(`begin immediate; ${step.sql} pragma user_version = ${step.version}; commit`)
}
