/** Tells a run's progress while it goes: a bar on a terminal, plain lines elsewhere; faults one a line, never into the bar. */
import {
  addSample,
  advance,
  barLine,
  doneBytes,
  NOTHING_YET,
  type ProgressEvent,
  plainLine,
  rateOf,
  type Sample,
  type Tally,
} from './progress.ts'
import { printable, type World } from './world.ts'

/** Ten a second look smooth and cost nothing. */
const REDRAW_MS = 100
/** A log of an hour then has 720 lines. */
const PLAIN_MS = 5_000
const SAMPLE_MS = 500
/** Waits for the server shorter than this are not worth a line. */
const TOLD_WAIT_MS = 1_500

const ERASE_LINE = '\r\u001b[K'
const RED = '\u001b[31m'
const RESET = '\u001b[0m'

export interface Reporter extends Disposable {
  tally(): Tally
  note(event: ProgressEvent): void
  /** A file that failed. */
  fault(path: string, why: string): void
  /** What concerns the run and does not end it. */
  warn(text: string): void
  /** The server is waited for. At most one line in five seconds. */
  waiting(ms: number, why: string): void
}

export const createReporter = (world: World, quiet: boolean): Reporter => {
  const { interactive } = world
  const colour = interactive && !world.env.NO_COLOR
  let tally = NOTHING_YET
  let samples: readonly Sample[] = []
  let drawn = false
  let toldWaitingAt = Number.NEGATIVE_INFINITY

  const draw = () => {
    const now = performance.now()
    if (now - (samples.at(-1)?.at ?? Number.NEGATIVE_INFINITY) >= SAMPLE_MS)
      samples = addSample(samples, { at: now, bytes: doneBytes(tally) })
    const rate = rateOf(samples)
    if (!interactive) {
      world.err(`${plainLine(tally, rate)}\n`)
      return
    }
    // One less than the width: a terminal may wrap when the last column is written.
    world.err(`${ERASE_LINE}${barLine(tally, rate, Math.max(10, world.columns() - 1))}`)
    drawn = true
  }
  const say = (text: string) => {
    if (drawn) world.err(ERASE_LINE)
    drawn = false
    world.err(`${text}\n`)
    if (interactive && !quiet) draw()
  }
  const timer = quiet ? undefined : setInterval(draw, interactive ? REDRAW_MS : PLAIN_MS)
  return {
    tally: () => tally,
    note: (event) => {
      tally = advance(tally, event)
    },
    fault: (path, why) =>
      say(`${colour ? RED : ''}failed${colour ? RESET : ''}  ${printable(path)}: ${printable(why)}`),
    warn: (text) => say(`oriel: warning: ${printable(text)}`),
    waiting: (ms, why) => {
      const now = performance.now()
      if (ms < TOLD_WAIT_MS || now - toldWaitingAt < PLAIN_MS) return
      toldWaitingAt = now
      say(`waiting ${(ms / 1000).toFixed(1)} s: ${printable(why)}`)
    },
    [Symbol.dispose]: () => {
      clearInterval(timer)
      if (!drawn) return
      // The last state stays on the screen.
      draw()
      world.err('\n')
      drawn = false
    },
  }
}
