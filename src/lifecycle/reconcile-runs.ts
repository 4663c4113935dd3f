/**
 * Runs of the reconciler as every origin tells them: a balancer may ask any for what another is at. One runs at a time, under the
 * reconciler's lease, and its report is a row that is written when it begins, every few seconds, and at its end.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { repeat } from '../core/repeat.ts'
import type { Metadata } from '../metadata/database.ts'
import { findProgress, saveProgress } from '../metadata/progress.ts'
import type { Reconcile, ReconcileReport } from './reconcile.ts'

export interface ReconcileRun {
  readonly state: 'running' | 'done' | 'failed'
  readonly error: string | null
  /** Undefined until the lease is had. */
  readonly report: ReconcileReport | undefined
}

export interface ReconcileRunsPorts {
  readonly metadata: Metadata
  readonly reconcile: Reconcile
  /** Aborts when the process ends. */
  readonly ending: AbortSignal
  readonly onFault: (what: string, error: unknown) => void
}

export interface ReconcileRuns {
  /** Begins one, or joins that which is under way, on whichever origin; waits for its end so long at most where it is here. */
  start(dryRun: boolean, waitMs: number): Promise<ReconcileRun>
  /** The one under way, or the last; undefined where there never was one. */
  current(): Promise<ReconcileRun | undefined>
  /** Resolves when that of this process has ended and is written down. */
  settled(): Promise<void>
}

const NAME = 'reconcile'
const NOTE_EVERY_MS = 5_000
/** Twelve notes that did not come, or clocks that differ by as much: its process is gone. */
const LOST_MS = 60_000
/** Who does not get the lease by then leaves it to the one that has it. */
const LEASE_WAIT_MS = 1_000

const BEGINNING: ReconcileRun = { state: 'running', error: null, report: undefined }

export const createReconcileRuns = ({ metadata, reconcile, ending, onFault }: ReconcileRunsPorts): ReconcileRuns => {
  let own: Promise<ReconcileRun> | undefined
  let now = BEGINNING

  const save = (run: ReconcileRun) =>
    metadata.transaction((transaction) =>
      saveProgress(transaction, NAME, { position: '', report: run, at: new Date() }),
    )
  const read = async (): Promise<ReconcileRun | undefined> => {
    const row = await findProgress<ReconcileRun>(metadata.search, NAME)
    if (row?.report.state !== 'running' || Date.now() - row.at.getTime() < LOST_MS) return row?.report
    return { ...row.report, state: 'failed', error: 'the origin that walked went away before the end' }
  }
  /** @param onStart when the lease is had. */
  const walk = async (dryRun: boolean, onStart: (run: ReconcileRun) => void): Promise<ReconcileRun> => {
    const patience = new AbortController()
    const late = setTimeout(() => patience.abort(), LEASE_WAIT_MS)
    const over = new AbortController()
    let noting: Promise<void> | undefined
    let report: ReconcileReport | undefined
    const end = async (run: ReconcileRun): Promise<ReconcileRun> => {
      over.abort()
      await noting
      await save(run).catch((error: unknown) => onFault('noting the end of reconcile', error))
      return run
    }
    try {
      await reconcile(dryRun, AbortSignal.any([ending, patience.signal]), (started) => {
        clearTimeout(late)
        report = started
        const run: ReconcileRun = { ...BEGINNING, report }
        const fault = (error: unknown) => onFault('noting how reconcile goes on', error)
        noting = repeat({ everyMs: NOTE_EVERY_MS, run: () => save(run), onFault: fault }, over.signal)
        onStart(run)
      })
      return await end({ state: 'done', error: null, report })
    } catch (error) {
      if (!report && patience.signal.aborted) return (await read()) ?? BEGINNING
      onFault('reconcile', error)
      return end({ state: 'failed', error: error instanceof Error ? error.message : String(error), report })
    } finally {
      clearTimeout(late)
    }
  }
  const begin = (dryRun: boolean): Promise<ReconcileRun> => {
    now = BEGINNING
    return walk(dryRun, (run) => {
      now = run
    }).finally(() => {
      own = undefined
    })
  }

  return {
    start: async (dryRun, waitMs) => {
      own ??= begin(dryRun)
      return (await Promise.race([own, sleep(waitMs, undefined, { ref: false })])) ?? now
    },
    current: async () => (own ? now : read()),
    settled: async () => {
      await own?.catch(() => undefined)
    },
  }
}
