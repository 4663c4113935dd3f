/** Work that comes again and again, until its owner ends. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Repeated {
  /** Before the first run; at once by default. */
  readonly firstAfterMs?: number
  /** From the end of a run to the next. */
  readonly everyMs: number
  /** Told of a run that failed; the next one tries again. Not told of what the end has broken off. */
  readonly onFault: (error: unknown) => void
  run(signal: AbortSignal): Promise<void>
}

/** Resolves when the signal has aborted and the run that was under way has ended. Never rejects. Its pauses keep no process alive. */
export const repeat = async (work: Repeated, signal: AbortSignal): Promise<void> => {
  const { firstAfterMs = 0, everyMs, onFault } = work
  const pause = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
  if (firstAfterMs > 0) await pause(firstAfterMs)
  while (!signal.aborted) {
    await work.run(signal).catch((error: unknown) => {
      if (!signal.aborted) onFault(error)
    })
    await pause(everyMs)
  }
}
