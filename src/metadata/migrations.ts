/** Numbered steps from an empty SQLite file to the present schema. A step once released is never edited; a change is a new step. */
import type { DatabaseSync } from 'node:sqlite'

const STEPS: readonly string[] = [
  `
  create table originals (
    digest text primary key, bytes integer not null, format text not null, width integer not null, height integer not null,
    orientation integer not null, pages integer not null, animated integer not null, has_alpha integer not null,
    colour_space text not null, has_profile integer not null, taken_at text, latitude real, longitude real, camera text,
    created_at integer not null
  ) strict, without rowid;

  create table assets (
    id text primary key, owner text not null, digest text not null references originals (digest), filename text, title text,
    description text, visibility text not null check (visibility in ('public', 'private')), tags text not null,
    latitude real, longitude real, taken_at text, bytes integer not null, format text not null,
    created_at integer not null, updated_at integer not null, deleted_at integer
  ) strict, without rowid;
  -- The four orders of an owner's listing.
  create index assets_by_creation on assets (owner, created_at, id);
  create index assets_by_update on assets (owner, updated_at, id);
  create index assets_by_size on assets (owner, bytes, id);
  create index assets_by_filename on assets (owner, coalesce(filename, ''), id);
  -- "Does this owner have these bytes?" (precheck), and an owner's assets of one hash.
  create index assets_by_owned_digest on assets (owner, digest, deleted_at);
  -- Who refers to a hash, and may a stranger see it: one range each, in order of age.
  create index assets_by_digest on assets (digest, visibility, deleted_at, created_at);
  -- What the collector looks for.
  create index assets_by_deletion on assets (deleted_at) where deleted_at is not null;

  create table idempotency (
    owner text not null, key text not null, fingerprint text not null, asset_id text not null, deduplicated integer not null,
    created_at integer not null, primary key (owner, key)
  ) strict, without rowid;
  create index idempotency_by_age on idempotency (created_at);

  create table api_keys (
    hash text primary key, id text not null unique, owner text not null, name text not null, created_at integer not null,
    revoked_at integer
  ) strict, without rowid;

  create table changes (
    seq integer primary key autoincrement, owner text not null, asset_id text not null,
    kind text not null check (kind in ('added', 'updated', 'deleted')), at integer not null
  ) strict;
  create index changes_by_owner on changes (owner, seq);
  `,
]

/**
 * Brings the database to the newest schema, each step with its number in one transaction.
 * @throws Error when the file was written by a newer Oriel: its rows may mean what this one does not know.
 */
export const migrate = (database: DatabaseSync): void => {
  const version = Number(database.prepare('pragma user_version').get()?.user_version ?? 0)
  if (version > STEPS.length)
    throw new Error(`the database is at schema ${version}, this Oriel knows ${STEPS.length}: run the newer one`)
  for (const [index, step] of STEPS.entries()) {
    if (index < version) continue
    database.exec(`begin immediate; ${step} pragma user_version = ${index + 1}; commit`)
  }
}
