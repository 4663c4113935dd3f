/** How far a run is: a value that events move on, and the line that tells it. Pure: time and width are given. */
import type { Status } from './plan.ts'

export interface Tally {
  readonly found: { readonly files: number; readonly bytes: number }
  /** The walk has ended: `found` is all. */
  readonly counted: boolean
  readonly files: Readonly<Record<Status, number>>
  /** Of files that are settled, and what of the others has been sent. */
  readonly bytes: { readonly settled: number; readonly underWay: number; readonly sent: number }
}

export type ProgressEvent =
  | { readonly kind: 'found'; readonly bytes: number }
  | { readonly kind: 'counted' }
  /** Less than none where an attempt failed. */
  | { readonly kind: 'sent'; readonly bytes: number }
  /** Of a file under way, and sent by an earlier run. */
  | { readonly kind: 'there'; readonly bytes: number }
  /** `underWay`: what `sent` and `there` events have said of this file. */
  | { readonly kind: 'settled'; readonly status: Status; readonly bytes: number; readonly underWay: number }

export const NOTHING_YET: Tally = {
  found: { files: 0, bytes: 0 },
  counted: false,
  files: { uploaded: 0, skipped: 0, duplicate: 0, planned: 0, failed: 0 },
  bytes: { settled: 0, underWay: 0, sent: 0 },
}

export const advance = (tally: Tally, event: ProgressEvent): Tally => {
  const { found, files, bytes } = tally
  switch (event.kind) {
    case 'found':
      return { ...tally, found: { files: found.files + 1, bytes: found.bytes + event.bytes } }
    case 'counted':
      return { ...tally, counted: true }
    case 'sent':
      return {
        ...tally,
        bytes: { ...bytes, underWay: bytes.underWay + event.bytes, sent: bytes.sent + event.bytes },
      }
    case 'there':
      return { ...tally, bytes: { ...bytes, underWay: bytes.underWay + event.bytes } }
    case 'settled':
      return {
        ...tally,
        files: { ...files, [event.status]: files[event.status] + 1 },
        bytes: { ...bytes, settled: bytes.settled + event.bytes, underWay: bytes.underWay - event.underWay },
      }
    default:
      return event satisfies never
  }
}

export const settledFiles = ({ files }: Tally): number => Object.values(files).reduce((sum, count) => sum + count, 0)

/** Bytes that need no more work: of files that are done, and what has gone of the others. */
export const doneBytes = ({ bytes, found }: Tally): number => Math.min(found.bytes, bytes.settled + bytes.underWay)

export interface Sample {
  /** Milliseconds, of a clock that only goes forward. */
  readonly at: number
  readonly bytes: number
}

/** Ten seconds: long enough to be calm, short enough to follow a line that has become slow. */
export const RATE_WINDOW_MS = 10_000

/** `samples` with one more, and without those that are out of the window; one before its edge stays. */
export const addSample = (samples: readonly Sample[], sample: Sample): readonly Sample[] => {
  const first = samples.findLastIndex(({ at }) => at <= sample.at - RATE_WINDOW_MS)
  return [...samples.slice(Math.max(0, first)), sample]
}

/** Bytes a second over the window; undefined before there is anything to tell from. */
export const rateOf = (samples: readonly Sample[]): number | undefined => {
  const [first, last] = [samples[0], samples.at(-1)]
  if (!first || !last || last.at - first.at < 500) return undefined
  return Math.max(0, ((last.bytes - first.bytes) / (last.at - first.at)) * 1000)
}

/** Seconds left; undefined where it cannot be told. */
export const secondsLeft = (tally: Tally, bytesPerSecond: number | undefined): number | undefined => {
  if (!tally.counted || !bytesPerSecond) return undefined
  return (tally.found.bytes - doneBytes(tally)) / bytesPerSecond
}

/** Powers of 1000, as disks and lines are sold. Three figures. */
export const formatBytes = (bytes: number): string => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  const step = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  const value = bytes / 1000 ** step
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(value >= 10 ? 1 : 2)} ${units[step]}`
}

/** `0:07`, `12:34`, `3:04:05`. */
export const formatSeconds = (seconds: number): string => {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (value: number) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** The same facts for both forms, the most important first. */
const facts = (tally: Tally, rate: number | undefined): readonly string[] => {
  const left = secondsLeft(tally, rate)
  const more = tally.counted ? '' : '+'
  return [
    `${settledFiles(tally)} of ${tally.found.files}${more} files`,
    ...(left === undefined ? [] : [`${formatSeconds(left)} left`]),
    ...(tally.files.failed > 0 ? [`${tally.files.failed} failed`] : []),
    ...(rate === undefined ? [] : [`${formatBytes(rate)}/s`]),
    `${formatBytes(doneBytes(tally))} of ${formatBytes(tally.found.bytes)}${more}`,
  ]
}

/** For logs: everything, without a bar. */
export const plainLine = (tally: Tally, rate: number | undefined): string => facts(tally, rate).join(', ')

const BAR_CHARS = 24
const SHORTEST_BAR = 8

/** One line of `columns` characters at most: what does not fit is left out, the least important first. */
export const barLine = (tally: Tally, rate: number | undefined, columns: number): string => {
  const total = tally.found.bytes
  // A hundred only when the last file is settled: bytes are all sent before the server has said yes.
  const all = tally.counted && settledFiles(tally) >= tally.found.files
  const share = all ? 1 : total === 0 ? 0 : Math.min(0.99, doneBytes(tally) / total)
  let line = `${String(Math.floor(share * 100)).padStart(3)}%`
  for (const fact of facts(tally, rate)) {
    if (line.length + 2 + fact.length > columns) break
    line += `  ${fact}`
  }
  const room = Math.min(BAR_CHARS, columns - line.length - 3)
  if (room < SHORTEST_BAR) return line.slice(0, columns)
  const filled = Math.round(share * room)
  return `[${'#'.repeat(filled)}${'-'.repeat(room - filled)}] ${line}`.slice(0, columns)
}
