/** The scheduling priority of this process: of all its threads, since those are where the work is done. */
import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'

const threads = (): readonly number[] => {
  try {
    return readdirSync('/proc/self/task').map(Number)
  } catch {
    // No /proc: not Linux, where the call for a process holds for all of it.
    return []
  }
}

/**
 * Sets the niceness of every thread that there is; later ones inherit it. On Linux niceness belongs to a thread, and
 * setpriority(2) of a process changes its first one only: libuv's workers, who decode and encode, are there before any of our
 * code runs, and kept their 0 (seen: hot hits beside renders had a p99 of 13 times the idle one).
 * @param niceness −20…19, greater is humbler. @throws Error `EPERM` for less than now, without the right to it.
 */
export const setNiceness = (niceness: number): void => {
  setPriority(niceness)
  for (const thread of threads()) setPriority(thread, niceness)
}
