/** Work that comes again and again, each kind under its own lease so that of several origins one does it, with numbers for the metrics. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Chore {
  /** In camel case: part of the metrics' names. */
  readonly name: string
  /** From the start of the process to the first run, and from the end of a run to the next. */
  readonly firstAfterMs: number
  readonly everyMs: number
  /** Answers how much it has done, in whatever it counts. */
  run(signal: AbortSignal): Promise<number>
}

interface ChoreStats {
  runs: number
  faults: number
  done: number
}

export interface Schedule extends AsyncDisposable {
  start(): void
  readonly stats: Readonly<Record<string, Readonly<ChoreStats>>>
}

export const createSchedule = (chores: readonly Chore[], onFault: (name: string, error: unknown) => void): Schedule => {
  const stop = new AbortController()
  const { signal } = stop
  const stats: Record<string, ChoreStats> = {}
  let running: readonly Promise<void>[] = []

  const pause = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
  const repeat = async ({ name, firstAfterMs, everyMs, run }: Chore, counts: ChoreStats): Promise<void> => {
    await pause(firstAfterMs)
    while (!signal.aborted) {
      try {
        counts.done += await run(signal)
        counts.runs += 1
      } catch (error) {
        if (signal.aborted) return
        counts.faults += 1
        onFault(name, error)
      }
      await pause(everyMs)
    }
  }
  for (const { name } of chores) stats[name] = { runs: 0, faults: 0, done: 0 }
  return {
    stats,
    start: () => {
      running = chores.flatMap((chore) => {
        const counts = stats[chore.name]
        return counts ? [repeat(chore, counts)] : []
      })
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await Promise.all(running)
    },
  }
}
