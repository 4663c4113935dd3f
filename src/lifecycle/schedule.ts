/** Work that comes again and again, each kind under its own lease so that of several origins one does it, with numbers for the metrics. */
import { repeat } from '../core/repeat.ts'

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
  const stats: Record<string, ChoreStats> = {}
  let running: readonly Promise<void>[] = []

  const begin = ({ name, firstAfterMs, everyMs, run }: Chore, counts: ChoreStats): Promise<void> => {
    const counted = async (signal: AbortSignal) => {
      counts.done += await run(signal)
      counts.runs += 1
    }
    const fault = (error: unknown) => {
      counts.faults += 1
      onFault(name, error)
    }
    return repeat({ firstAfterMs, everyMs, run: counted, onFault: fault }, stop.signal)
  }
  for (const { name } of chores) stats[name] = { runs: 0, faults: 0, done: 0 }
  return {
    stats,
    start: () => {
      running = chores.flatMap((chore) => {
        const counts = stats[chore.name]
        return counts ? [begin(chore, counts)] : []
      })
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await Promise.all(running)
    },
  }
}
