/**
 * Numbered steps from an empty database to the present schema, one list for both engines. A step once released is never edited;
 * a change is a new step. Where the engines' words differ, a step takes them from `Words`.
 */

/** What one engine calls what both have. */
export interface Words {
  /** Text that is compared and sorted by its bytes: cursors rely on one order everywhere. */
  readonly text: string
  /** Exact up to 2^53 at least: counts, and instants in milliseconds. */
  readonly integer: string
  /** IEEE 754 double. */
  readonly real: string
  /** A number that the database gives, larger for every row. */
  readonly sequence: string
  /** Ends a table whose rows live in its primary key's index. */
  readonly keyed: string
  /** Ends any other table. */
  readonly plain: string
  /** Statements after which rows of the table become visible in the order of their numbers. */
  readonly inOrder: (table: string) => string
  /** What leases need that live in this database (`coordination/postgres-tries.ts`). */
  readonly leases: string
}

const STEPS: readonly ((words: Words) => string)[] = [
  ({ text, integer, real, sequence, keyed, plain, inOrder }) => `
  create table originals (
    digest ${text} primary key, bytes ${integer} not null, format ${text} not null, width ${integer} not null, height ${integer} not null,
    orientation ${integer} not null, pages ${integer} not null, animated ${integer} not null, has_alpha ${integer} not null,
    colour_space ${text} not null, has_profile ${integer} not null, taken_at ${text}, latitude ${real}, longitude ${real}, camera ${text},
    created_at ${integer} not null
  ) ${keyed};

  create table assets (
    id ${text} primary key, owner ${text} not null, digest ${text} not null references originals (digest), filename ${text}, title ${text},
    description ${text}, visibility ${text} not null check (visibility in ('public', 'private')), tags ${text} not null,
    latitude ${real}, longitude ${real}, taken_at ${text}, bytes ${integer} not null, format ${text} not null,
    created_at ${integer} not null, updated_at ${integer} not null, deleted_at ${integer}
  ) ${keyed};
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
    owner ${text} not null, key ${text} not null, fingerprint ${text} not null, asset_id ${text} not null, deduplicated ${integer} not null,
    created_at ${integer} not null, primary key (owner, key)
  ) ${keyed};
  create index idempotency_by_age on idempotency (created_at);

  create table api_keys (
    hash ${text} primary key, id ${text} not null unique, owner ${text} not null, name ${text} not null, created_at ${integer} not null,
    revoked_at ${integer}
  ) ${keyed};

  create table changes (
    seq ${sequence}, owner ${text} not null, asset_id ${text} not null,
    kind ${text} not null check (kind in ('added', 'updated', 'deleted')), at ${integer} not null
  ) ${plain};
  create index changes_by_owner on changes (owner, seq);
  ${inOrder('changes')}
  `,
  // Removals of bytes, under way and done: see removals.ts.
  ({ text, integer, keyed, leases }) => `
  create table removals (
    digest ${text} primary key, version ${integer} not null, pending ${integer} not null, at ${integer} not null
  ) ${keyed};
  create index removals_by_age on removals (pending, at);
  ${leases}
  `,
  // What may happen once: see once.ts.
  ({ text, integer, keyed }) => `
  create table once (
    scope ${text} not null, owner ${text} not null, key ${text} not null, fingerprint ${text} not null, answer ${text} not null,
    expires_at ${integer} not null, primary key (scope, owner, key)
  ) ${keyed};
  create index once_by_expiry on once (expires_at);
  `,
  // What edges were told to forget: see edge-purges.ts.
  ({ text, integer, keyed }) => `
  create table edge_purges (digest ${text} primary key, at ${integer} not null) ${keyed};
  `,
  // Resumable uploads, and which of their bytes were acknowledged.
  ({ text, integer, keyed }) => `
  create table upload_sessions (
    id ${text} primary key, owner ${text} not null, protocol ${text} not null check (protocol in ('chunks', 'tus')),
    state ${text} not null check (state in ('receiving', 'completing', 'done', 'failed', 'expired', 'aborted')),
    bytes ${integer} not null, chunk_bytes ${integer} not null, media_type ${text} not null, declared ${text}, details ${text} not null,
    tus_metadata ${text}, created_at ${integer} not null, expires_at ${integer} not null, asset_id ${text}, deduplicated ${integer} not null,
    failure_kind ${text}, failure ${text}, claim ${text}
  ) ${keyed};
  -- How many has an owner open, and what has expired.
  create index upload_sessions_by_owner on upload_sessions (owner, state, expires_at);
  create index upload_sessions_by_expiry on upload_sessions (expires_at);

  create table upload_pieces (
    session ${text} not null, first_byte ${integer} not null, bytes ${integer} not null, digest ${text} not null, primary key (session, first_byte)
  ) ${keyed};
  `,
  // What is done after the answer (outbox.ts), and how bytes end (quarantine.ts, condition.ts, progress.ts).
  ({ text, integer, sequence, keyed, plain }) => `
  create table outbox (
    id ${sequence}, kind ${text} not null, digest ${text} not null, parked ${integer} not null, attempts ${integer} not null,
    due_at ${integer} not null, claim ${text}, error ${text}, created_at ${integer} not null
  ) ${plain};
  create index outbox_by_due on outbox (kind, parked, due_at);

  create table quarantine (
    digest ${text} primary key, reason ${text} not null, record ${text}, at ${integer} not null
  ) ${keyed};
  create index quarantine_by_age on quarantine (at, digest);

  create table progress (name ${text} primary key, position ${text} not null, report ${text} not null, at ${integer} not null) ${keyed};

  alter table originals add column scan ${text} not null default 'none';
  alter table originals add column fault ${text};
  create index originals_with_fault on originals (digest) where fault is not null;
  `,
  // When an original was last read: see uses.ts.
  ({ integer }) => `
  alter table originals add column used_at ${integer};
  `,
  // They are dropped by age.
  () => `
  create index edge_purges_by_age on edge_purges (at);
  `,
]

/** The steps that a database at `version` still needs, each with the version it leads to. @throws Error when it is of a newer Oriel. */
export const stepsFrom = (
  version: number,
  words: Words,
): readonly { readonly version: number; readonly sql: string }[] => {
  // Its rows may mean what this one does not know.
  if (version > STEPS.length)
    throw new Error(`the database is at schema ${version}, this Oriel knows ${STEPS.length}: run the newer one`)
  return STEPS.map((step, index) => ({ version: index + 1, sql: step(words) })).slice(version)
}
