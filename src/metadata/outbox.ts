/**
 * The outbox: work that an event asks for, one row a job, written in the transaction of the rows that cause it. So a job exists
 * exactly if its cause does, whatever process dies. Jobs are done at least once: a claim is a lease, and when it runs out (its
 * worker died or hangs) the job is due again. There is no state column to drift: a job is *parked* or not; if not it is *running*
 * while somebody has claimed it and the lease lasts, else *pending*. `due_at` is when it may be claimed next, in every case.
 */
import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { type AssetEvent, JOB_KINDS, type JobKind, type JobRoutes } from '../core/asset-event.ts'
import type { Digest } from '../core/ids.ts'
import type { Metadata, Queries } from './database.ts'
import { prepareInsert } from './prepared.ts'

export interface Outbox {
  /** Writes the jobs that these events ask for. Nothing to write costs nothing. */
  append(transaction: Queries, events: readonly AssetEvent[]): Promise<void>
}

/** Where nobody waits for events. */
export const NO_OUTBOX: Outbox = { append: async () => {} }

export interface ClaimedJob {
  readonly id: number
  readonly kind: JobKind
  readonly digest: Digest
  /** This one included. */
  readonly attempts: number
  /** Names this claim: only its holder ends it. */
  readonly claim: string
}

/** Of an error's text kept with its job: enough for the message and where it came from. */
const MAX_ERROR_CHARS = 500

/** The call that hides a picture tells the edges itself, and goes on for a while in memory; the job is for what that does not reach. */
const FIRST_DUE_AFTER_MS: Readonly<Record<JobKind, number>> = {
  'purge-edge': 30_000,
  scan: 0,
  prewarm: 0,
  notify: 0,
}

const rowOf = (kind: JobKind, digest: Digest, now: number) => ({
  kind,
  digest,
  parked: 0,
  attempts: 0,
  due_at: now + FIRST_DUE_AFTER_MS[kind],
  created_at: now,
})

const insertJobs = prepareInsert((queries, rows: readonly ReturnType<typeof rowOf>[]) =>
  queries.insertInto('outbox').values([...rows]),
)

/** @param onAppended told that there will be something to do, before the commit. */
export const createOutbox = (routes: JobRoutes, onAppended: () => void = () => undefined): Outbox => ({
  append: async (transaction, events) => {
    const now = Date.now()
    const rows = events.flatMap(({ kind, digest }) => routes[kind].map((job) => rowOf(job, digest, now)))
    if (rows.length === 0) return
    // As many as a batch of uploads has, times the kinds that want them: well below the parameters that either engine takes.
    await insertJobs(transaction, rows)
    onAppended()
  },
})

/** Is there something to claim? One range of an index. */
export const hasDue = async (queries: Queries, kind: JobKind, now: Date): Promise<boolean> =>
  (await queries
    .selectFrom('outbox')
    .select('id')
    .where('kind', '=', kind)
    .where('parked', '=', 0)
    .where('due_at', '<=', now.getTime())
    .limit(1)
    .executeTakeFirst()) !== undefined

/**
 * Takes up to `limit` due jobs, those due longest first, until `leaseMs` from now. On PostgreSQL rows that another worker is just taking are
 * passed over; SQLite has one writer at a time anyway, and no words for it.
 */
export const claimJobs = (
  metadata: Metadata,
  { kind, limit, leaseMs }: { readonly kind: JobKind; readonly limit: number; readonly leaseMs: number },
): Promise<readonly ClaimedJob[]> =>
  metadata.transaction(async (transaction) => {
    const now = Date.now()
    const claim = randomUUID()
    const due = transaction
      .selectFrom('outbox')
      .select('id')
      .where('kind', '=', kind)
      .where('parked', '=', 0)
      .where('due_at', '<=', now)
      .orderBy('due_at')
      .limit(limit)
    const ids = await (metadata.engine === 'PostgreSQL' ? due.forUpdate().skipLocked() : due).execute()
    if (ids.length === 0) return []
    const rows = await transaction
      .updateTable('outbox')
      .set({ claim, due_at: now + leaseMs, attempts: sql<number>`attempts + 1` })
      .where(
        'id',
        'in',
        ids.map(({ id }) => id),
      )
      .returning(['id', 'digest', 'attempts'])
      .execute()
    return rows.map(({ id, digest, attempts }) => ({
      id: Number(id),
      kind,
      digest: digest as Digest,
      attempts: Number(attempts),
      claim,
    }))
  })

/** How a claim ended. `release`: it was not begun, or cut off by the end of the process, and counts for nothing. */
export type JobEnd =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: string; readonly dueAt: Date; readonly park: boolean }
  | { readonly kind: 'release' }

/** Ends claims, all in one transaction. One that was lost to another worker has no effect. */
export const endJobs = async (
  transaction: Queries,
  ends: readonly { readonly job: ClaimedJob; readonly end: JobEnd }[],
): Promise<void> => {
  for (const { job, end } of ends) {
    if (end.kind === 'done') {
      await transaction.deleteFrom('outbox').where('id', '=', job.id).where('claim', '=', job.claim).execute()
      continue
    }
    await transaction
      .updateTable('outbox')
      .set(
        end.kind === 'release'
          ? { claim: null, due_at: Date.now(), attempts: sql<number>`attempts - 1` }
          : {
              claim: null,
              due_at: end.dueAt.getTime(),
              parked: end.park ? 1 : 0,
              error: end.error.slice(0, MAX_ERROR_CHARS),
            },
      )
      .where('id', '=', job.id)
      .where('claim', '=', job.claim)
      .execute()
  }
}

export const JOB_STATES = ['pending', 'running', 'parked'] as const
export type JobState = (typeof JOB_STATES)[number]

export interface JobRecord {
  readonly id: number
  readonly kind: JobKind
  readonly digest: Digest
  readonly state: JobState
  readonly attempts: number
  readonly error: string | null
  readonly dueAt: Date
  readonly createdAt: Date
}

export interface JobQuery {
  readonly state?: JobState | undefined
  readonly kind?: JobKind | undefined
  /** Only those after this one. */
  readonly after: number
  readonly limit: number
}

/** In the order in which they were made. */
export const listJobs = async (queries: Queries, { state, kind, after, limit }: JobQuery): Promise<JobRecord[]> => {
  const now = Date.now()
  let query = queries.selectFrom('outbox').selectAll().where('id', '>', after)
  if (kind) query = query.where('kind', '=', kind)
  if (state) query = query.where('parked', '=', state === 'parked' ? 1 : 0)
  if (state === 'running') query = query.where('claim', 'is not', null).where('due_at', '>', now)
  if (state === 'pending') query = query.where(({ or, eb }) => or([eb('claim', 'is', null), eb('due_at', '<=', now)]))
  const rows = await query.orderBy('id').limit(limit).execute()
  return rows.map((row) => ({
    id: Number(row.id),
    kind: row.kind as JobKind,
    digest: row.digest as Digest,
    state: row.parked === 1 ? 'parked' : row.claim !== null && row.due_at > now ? 'running' : 'pending',
    attempts: row.attempts,
    error: row.error,
    dueAt: new Date(row.due_at),
    createdAt: new Date(row.created_at),
  }))
}

/** Due now, from the first attempt on; takes a claim away from whoever has it. Answers whether there is such a job. */
export const retryJob = async (transaction: Queries, id: number): Promise<boolean> => {
  const { numUpdatedRows } = await transaction
    .updateTable('outbox')
    .set({ parked: 0, attempts: 0, claim: null, due_at: Date.now() })
    .where('id', '=', id)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Answers whether there was such a job. */
export const removeJob = async (transaction: Queries, id: number): Promise<boolean> => {
  const { numDeletedRows } = await transaction.deleteFrom('outbox').where('id', '=', id).executeTakeFirst()
  return numDeletedRows > 0n
}

export interface JobCounts {
  readonly pending: number
  readonly running: number
  readonly parked: number
  /** Age of the oldest that is not parked; 0 where there is none. */
  readonly oldestSeconds: number
}

/** The backlog of every kind. Reads all of it: for the searcher, and not often. */
export const countJobs = async (queries: Queries): Promise<Readonly<Record<JobKind, JobCounts>>> => {
  const now = Date.now()
  const rows = await queries
    .selectFrom('outbox')
    .select(({ fn }) => [
      'kind',
      fn.countAll<number>().as('total'),
      fn.sum<number>('parked').as('parked'),
      sql<number>`sum(case when parked = 0 and claim is not null and due_at > ${now} then 1 else 0 end)`.as('running'),
      sql<number | null>`min(case when parked = 0 then created_at end)`.as('oldest'),
    ])
    .groupBy('kind')
    .execute()
  const counts = (kind: JobKind): JobCounts => {
    const row = rows.find((one) => one.kind === kind)
    const [parked, running] = [Number(row?.parked ?? 0), Number(row?.running ?? 0)]
    return {
      pending: Number(row?.total ?? 0) - parked - running,
      running,
      parked,
      oldestSeconds: row?.oldest == null ? 0 : Math.max(0, (now - Number(row.oldest)) / 1000),
    }
  }
  return Object.fromEntries(JOB_KINDS.map((kind) => [kind, counts(kind)])) as Record<JobKind, JobCounts>
}
