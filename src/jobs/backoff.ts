/** When a job that failed is tried again: exponentially later, with jitter, so that what failed together does not come back together. */

const FIRST_MS = 1_000
/** A dead edge or scanner is asked this often; long enough to be no load, short enough to be quick when it is back. */
const LONGEST_MS = 5 * 60 * 1000

/** @param attempts that failed, 1 or more. @param random in [0, 1). @returns milliseconds: between half and the whole of the step. */
export const backoffMs = (attempts: number, random: number): number => {
  const step = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(30, attempts - 1))
  return Math.round(step * (0.5 + random / 2))
}
