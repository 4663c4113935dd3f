/** The schema in PostgreSQL's words; its version is a row. Any number of origins may start at once: one migrates, the others wait. */
import type { ClientBase } from 'pg'
import { stepsFrom, type Words } from './migrations.ts'

/** `idle_session_timeout`, which frees what a frozen process holds, came with 14. */
const OLDEST_SERVER = 140_000
/** Advisory locks of two int4 are a space apart from those of one int8, which leases use. The first is our name in ASCII, "ORIE". */
const LOCK_SPACE = 0x4f524945
const MIGRATION_LOCK = 1
const ORDER_LOCK = 2

const WORDS: Words = {
  text: 'text collate "C"',
  integer: 'bigint',
  real: 'double precision',
  sequence: 'bigint generated always as identity primary key',
  keyed: '',
  plain: '',
  /*
   * A sequence gives its numbers out before their transactions commit: a reader could see 8 and later 7, and a cursor that stands
   * at 8 would never see 7. So whoever appends takes a lock before the first number is drawn (BEFORE … FOR EACH STATEMENT fires before
   * the rows are computed) and keeps it until its commit is visible (locks are released after that). As a trigger, so that no
   * writer can forget it, and none pays a round trip. The cost: appending transactions follow one another from here to their
   * commit, one flush of the log each; group commit puts up to 64 uploads into one.
   */
  inOrder: (table) => `
  create function append_in_order() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock(${LOCK_SPACE}, ${ORDER_LOCK}); return null; end $$;
  create trigger ${table}_in_order before insert on ${table} for each statement execute function append_in_order();`,
  leases: 'create sequence lease_tokens;',
}

/**
 * Brings the database to the newest schema, all steps in one transaction.
 * @throws Error when the server is too old, does not keep text as UTF-8, or the schema is a newer Oriel's.
 */
export const migratePostgres = async (client: ClientBase): Promise<void> => {
  const server = await client.query<{ version: number; encoding: string }>(
    `select current_setting('server_version_num')::int4 as version, current_setting('server_encoding') as encoding`,
  )
  const { version = 0, encoding = '' } = server.rows[0] ?? {}
  if (version < OLDEST_SERVER) throw new Error(`PostgreSQL 14 or newer is needed, this is ${version}`)
  if (encoding !== 'UTF8') throw new Error(`a database in UTF8 is needed, this one is in ${encoding}`)
  await client.query('begin')
  try {
    await client.query(`select pg_advisory_xact_lock(${LOCK_SPACE}, ${MIGRATION_LOCK})`)
    await client.query('create table if not exists schema_version (version int4 not null)')
    const found = await client.query<{ version: number }>('select version from schema_version')
    for (const step of stepsFrom(found.rows[0]?.version ?? 0, WORDS)) {
      await client.query(step.sql)
      await client.query('delete from schema_version')
      await client.query('insert into schema_version values ($1)', [step.version])
    }
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}
