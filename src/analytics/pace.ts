/** When the spool is loaded without anybody asking: an engine of 300 MB is not kept for a trickle, a server costs nothing. */
import type { Engine } from './engine.ts'
import type { Loader } from './loader.ts'
import type { AnalyticsLog } from './log.ts'
import type { Spool } from './spool.ts'

export interface PaceOptions {
  /** With the embedded engine: spooled bytes that start it. Default 16 MiB, up to a million events. */
  readonly drainBytes?: number
  /** With the embedded engine: age of the oldest spooled event that starts it. Default 10 minutes. */
  readonly drainAgeMs?: number
  /** How often the spool is looked at. Default 2 s; a ClickHouse server gets what there is each time. */
  readonly paceMs?: number
}

/** Between attempts after a failure: 2 s, 4 s … 64 s. */
const backoffMs = (failures: number): number => 1000 * 2 ** Math.min(failures, 6)

/** Looks at the spool every `paceMs`; `eager` loads whatever there is. */
export const startPace = (
  options: PaceOptions & { readonly log: AnalyticsLog; readonly eager: boolean },
  spool: Spool,
  engine: Engine,
  loader: Loader,
) => {
  const { eager, log, drainBytes = 16 * 2 ** 20, drainAgeMs = 600_000, paceMs = 2000 } = options
  const stopped = new AbortController()
  let failures = 0
  let notBefore = 0
  let busy = false
  const isDue = (): boolean => {
    const { bytes, oldestMs } = spool.backlog()
    if (bytes === 0 || Date.now() < notBefore || engine.health().state === 'unavailable') return false
    return eager || bytes >= drainBytes || oldestMs >= drainAgeMs
  }
  const look = async (): Promise<void> => {
    if (busy || !isDue()) return
    busy = true
    try {
      await spool.seal()
      await loader.drain(stopped.signal)
      failures = 0
    } catch (err) {
      failures++
      notBefore = Date.now() + backoffMs(failures)
      if (!stopped.signal.aborted) log.warn({ err, failures }, 'analytics: loading failed, events wait in the spool')
    } finally {
      busy = false
    }
  }
  const timer = setInterval(() => void look(), paceMs).unref()
  return {
    stop: () => {
      clearInterval(timer)
      stopped.abort()
    },
  }
}
