/**
 * The relay: claims jobs from the outbox, has each done by its kind's handler, and ends the claim. At least once: whoever dies
 * between the work and its end leaves a claim that runs out, and the work is done again, so handlers are idempotent.
 * Bounded: so many of a kind at once, each within its time; a portion of a kind is claimed at a time, and the next when that is worked off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { JobKind } from '../core/asset-event.ts'
import type { Metadata } from '../metadata/database.ts'
import {
  type ClaimedJob,
  claimJobs,
  countJobs,
  endJobs,
  hasDue,
  type JobCounts,
  type JobEnd,
} from '../metadata/outbox.ts'
import { backoffMs } from './backoff.ts'

/** Looks for what other instances left, or what is due again. */
const LOOK_EVERY_MS = 1_000
/** After this instance appended something: its commit is through by then, and a burst of uploads is one look. */
const WAKE_AFTER_MS = 20
/** The backlog is counted for the metrics this often: a count reads all of it. */
const COUNT_EVERY_MS = 15_000
/** On top of what the claimed portion may take at most: the transactions around it. */
const LEASE_MARGIN_MS = 10_000
/** What is running when the process ends has so long to come to its own end. */
const DRAIN_MS = 5_000
/** While the database is away: else a portion that is done waits for its lease, 20 minutes of a scan's, and is done again. */
const END_AGAIN_MS = 1_000
/** A restart of a database takes seconds; past this the lease does it. */
const END_ATTEMPTS = 30

export interface Handler {
  /** Jobs at once, in this process. */
  readonly concurrency: number
  /** A job that takes longer has failed. */
  readonly limitMs: number
  /** After so many failures a job is parked, for an administrator to judge. */
  readonly attempts: number
  /** Does it, or throws. The signal aborts at the time limit and soon after the process is told to end. */
  run(job: ClaimedJob, signal: AbortSignal): Promise<void>
}

export type Handlers = Partial<Readonly<Record<JobKind, Handler>>>

export interface RelayPorts {
  readonly metadata: Metadata
  readonly handlers: Handlers
  readonly onFault: (what: string, error: unknown) => void
  /** Length of the drain, for tests. Default 5 s. */
  readonly drainMs?: number
  /** Between two attempts to say how jobs ended, for tests. Default 1 s. */
  readonly endAgainMs?: number
}

export interface JobStats extends JobCounts {
  readonly done: number
  readonly failed: number
}

export interface Relay extends AsyncDisposable {
  start(): void
  /** Look for work soon: something was appended, or is about to be. */
  wake(): void
  /** By kind that has a handler. `pending` and its like are those of all instances, as counted last. */
  stats(): Readonly<Record<string, JobStats>>
}

interface KindState {
  counts: JobCounts
  done: number
  failed: number
}

const NONE: JobCounts = { pending: 0, running: 0, parked: 0, oldestSeconds: 0 }

export const createRelay = (ports: RelayPorts): Relay => {
  const kinds = Object.entries(ports.handlers) as [JobKind, Handler][]
  const states = new Map<JobKind, KindState>(kinds.map(([kind]) => [kind, { counts: NONE, done: 0, failed: 0 }]))
  const stop = new AbortController()
  const cut = new AbortController()
  let bell = new AbortController()
  let waking: NodeJS.Timeout | undefined
  let running: readonly Promise<void>[] = []

  const repeat = async (what: string, everyMs: number, work: () => Promise<void>): Promise<void> => {
    while (!stop.signal.aborted) {
      const heard = AbortSignal.any([bell.signal, stop.signal])
      await work().catch((error: unknown) => ports.onFault(what, error))
      await sleep(everyMs, undefined, { signal: heard, ref: false }).catch(() => undefined)
    }
  }
  const count = async (): Promise<void> => {
    const counts = await countJobs(ports.metadata.search)
    for (const [kind, state] of states) state.counts = counts[kind]
  }

  return {
    start: () => {
      running = [
        ...kinds.map(([kind, handler]) =>
          repeat(kind, LOOK_EVERY_MS, () => workOff(ports, kind, handler, states.get(kind), stop.signal, cut.signal)),
        ),
        repeat('count', COUNT_EVERY_MS, count),
      ]
    },
    wake: () => {
      waking ??= setTimeout(() => {
        waking = undefined
        bell.abort()
        bell = new AbortController()
      }, WAKE_AFTER_MS).unref()
    },
    stats: () =>
      Object.fromEntries([...states].map(([kind, { counts, done, failed }]) => [kind, { ...counts, done, failed }])),
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      clearTimeout(waking)
      const timer = setTimeout(() => cut.abort(new Error('the process ends')), ports.drainMs ?? DRAIN_MS)
      await Promise.all(running)
      clearTimeout(timer)
    },
  }
}

/** Portions until nothing is due. */
const workOff = async (
  ports: RelayPorts,
  kind: JobKind,
  handler: Handler,
  state: KindState | undefined,
  stop: AbortSignal,
  cut: AbortSignal,
): Promise<void> => {
  const { metadata, onFault } = ports
  // A portion is worked off in at most four time limits, so its lease is a few of them and not many.
  const limit = handler.concurrency * 4
  const leaseMs = handler.limitMs * 4 + LEASE_MARGIN_MS
  while (!stop.aborted && (await hasDue(metadata.read, kind, new Date()))) {
    const claimed = await claimJobs(metadata, { kind, limit, leaseMs })
    if (claimed.length === 0) return
    const ends: { job: ClaimedJob; end: JobEnd }[] = []
    const left = [...claimed]
    const worker = async () => {
      for (let job = left.shift(); job; job = left.shift()) {
        const end = stop.aborted ? ({ kind: 'release' } as const) : await attempt(handler, job, cut, onFault)
        ends.push({ job, end })
        if (state && end.kind !== 'release') state[end.kind] += 1
      }
    }
    await Promise.all(Array.from({ length: Math.min(handler.concurrency, claimed.length) }, worker))
    await sayEnds(ports, ends, stop)
  }
}

/** One transaction for the portion: a fsync for each job would bound them at a few hundred a second. Again while it fails: a claim that ended has no second end. */
const sayEnds = async (
  { metadata, onFault, endAgainMs = END_AGAIN_MS }: RelayPorts,
  ends: readonly { job: ClaimedJob; end: JobEnd }[],
  stop: AbortSignal,
): Promise<void> => {
  for (let attempts = 1; ; attempts++) {
    try {
      await metadata.transaction((transaction) => endJobs(transaction, ends))
      return
    } catch (error) {
      if (stop.aborted || attempts >= END_ATTEMPTS) throw error
      if (attempts === 1) onFault('the end of jobs could not be written down', error)
      await sleep(endAgainMs, undefined, { signal: stop, ref: false }).catch(() => undefined)
    }
  }
}

const attempt = async (
  handler: Handler,
  job: ClaimedJob,
  cut: AbortSignal,
  onFault: RelayPorts['onFault'],
): Promise<JobEnd> => {
  const limit = AbortSignal.any([AbortSignal.timeout(handler.limitMs), cut])
  try {
    // More attempts than allowed: its workers died before they could say so. What kills a process is not tried for ever.
    if (job.attempts > handler.attempts) throw new Error('its workers did not come back')
    await within(handler.run(job, limit), limit)
    return { kind: 'done' }
  } catch (error) {
    // Cut off by us, which says nothing of the job: it must not be parked for as many restarts as it has attempts.
    if (cut.aborted) return { kind: 'release' }
    const park = job.attempts >= handler.attempts
    if (park) onFault(`${job.kind}: job ${job.id} is parked after ${job.attempts} attempts`, error)
    const text = error instanceof Error ? error.message : String(error)
    return { kind: 'failed', error: text, park, dueAt: new Date(Date.now() + backoffMs(job.attempts, Math.random())) }
  }
}

/** A handler that does not listen to its signal is left behind: the job has failed all the same. */
const within = (work: Promise<void>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    if (signal.aborted) leave()
    signal.addEventListener('abort', leave, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
