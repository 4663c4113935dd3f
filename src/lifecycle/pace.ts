/** Keeps a walk to a rate: it sleeps whenever it is ahead of it. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Pace {
  /** Waits until `amount` more may be done. @throws the signal's reason when it aborts. */
  spend(amount: number, signal: AbortSignal): Promise<void>
}

/** Pauses shorter than this are saved up: timers are no finer. */
const SHORTEST_PAUSE_MS = 5

/** @param perSecond what may be done in a second, in whatever unit `spend` counts. */
export const createPace = (perSecond: number): Pace => {
  let dueAt = performance.now()
  return {
    spend: async (amount, signal) => {
      const now = performance.now()
      // Idle time is not saved up.
      dueAt = Math.max(dueAt, now) + (amount / perSecond) * 1000
      if (dueAt - now >= SHORTEST_PAUSE_MS) await sleep(dueAt - now, undefined, { signal, ref: false })
      else signal.throwIfAborted()
    },
  }
}
