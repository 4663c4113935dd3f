/** The scheduling priority of this process and of its threads, since those are where the work is done. */
import { readdirSync, readlinkSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/**
 * Of what may wait for answers: renders, variants on their way to the disk, the embedded analytics. Where both want a core, a task at 0 gets
 * 1024 parts and one at 15 gets 36 (sched_prio_to_weight, kernel/sched/core.c): 3.4 %. At 10, 10 %, hot hits beside renders had a p99 of
 * 3.3 ms, at 15 and at 19 2.0–2.4, and a bare server 1.6 (medians of six, measured in turns).
 */
export const BEHIND_ANSWERS = 15

const ownThreads = (): readonly number[] => {
  try {
    return readdirSync('/proc/self/task').map(Number)
  } catch {
    // No /proc: not Linux, where 0, the process, holds for all of it.
    return [0]
  }
}

/**
 * A service that was started humbler stays so: to be less humble needs a right (setpriority(2)). Without effect on a thread that has ended
 * since it was listed (ESRCH; seen: it kept the analytics engine from starting), and where a sandbox forbids the call: to be humble is a
 * courtesy, and no reason not to work.
 */
const humble = (thread: number, niceness: number): void => {
  try {
    setPriority(thread, Math.max(niceness, getPriority(thread)))
  } catch {
    // Its priority stays what it is.
  }
}

/**
 * Makes every thread that there is as humble, at least; later ones inherit it. On Linux niceness belongs to a thread, and setpriority(2)
 * of a process changes its first one only: libuv's workers, who decode and encode, are there before any of our code runs, and
 * kept their 0 (seen: hot hits beside renders had a p99 of 13 times the idle one).
 * @param niceness 0…19, greater is humbler.
 * @param threads by their numbers. Default all of this process.
 */
export const setNiceness = (niceness: number, threads: readonly number[] = ownThreads()): void => {
  for (const thread of threads) humble(thread, niceness)
}

/** The same for the calling thread alone, such as a worker's; nothing where threads have no niceness of their own. */
export const setThreadNiceness = (niceness: number): void => {
  const thread = ownThread()
  if (thread !== undefined) humble(thread, niceness)
}

/** A link to `<process>/task/<thread>` that is another one for each who reads it (proc(5)). */
const ownThread = (): number | undefined => {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1))
  } catch {
    return undefined
  }
}
