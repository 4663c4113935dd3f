/** A spool segment as the text that ClickHouse takes: TabSeparatedWithNames, made while it is sent. */
import { setImmediate } from 'node:timers/promises'
import { EVENT_COLUMNS, msText } from './event-row.ts'
import { decodeFrames, type Frame, ROW_WORDS } from './frame.ts'

/** 0.2 ms of work between two turns of the event loop, and 100 KB of text. */
const ROWS_AT_ONCE = 512

/** The events of every sound frame in `segment`, in order, equal bytes for an equal segment: its token covers them. */
export async function* segmentLines(segment: Buffer): AsyncGenerator<Buffer> {
  yield Buffer.from(`${EVENT_COLUMNS.join('\t')}\n`)
  for (const frame of decodeFrames(segment)) {
    const clients = frame.clients.split('\n')
    const subjects = frame.subjects.split('\n')
    for (let row = 0; row < frame.rows; row += ROWS_AT_ONCE) {
      yield Buffer.from(linesOf(frame, clients, subjects, row, Math.min(row + ROWS_AT_ONCE, frame.rows)), 'latin1')
      await setImmediate()
    }
  }
}

const linesOf = (
  { baseMs, words }: Frame,
  clients: readonly string[],
  subjects: readonly string[],
  from: number,
  to: number,
): string => {
  let lines = ''
  for (let at = from * ROW_WORDS; at < to * ROW_WORDS; at += ROW_WORDS) {
    const [time, micros, client, subject] = [words[at], words[at + 1], words[at + 2], words[at + 3]]
    lines += `${baseMs + (time ?? 0)}\t${msText((micros ?? 0) / 1000)}${clients[client ?? 0]}${subjects[subject ?? 0]}\n`
  }
  return lines
}
