/** An edge's log → frames for the spool: the good lines in the order of their time, the bad ones counted and the first named. */
import { setImmediate } from 'node:timers/promises'
import { AppError } from '../core/errors.ts'
import { createClientTexts } from './client-texts.ts'
import { type EdgeEvent, parseEdgeLine } from './edge-line.ts'
import { occurrenceText, subjectText } from './event-row.ts'
import { createFrameBuilder, type SharedText, sharedText } from './frame-builder.ts'

export interface LineFault {
  /** From 1. */
  readonly line: number
  readonly reason: string
}

export interface EdgeBatch {
  readonly accepted: number
  readonly rejected: number
  /** The first of what was rejected. */
  readonly errors: readonly LineFault[]
  /** Events without device facts, since the batch has too many User-Agents. */
  readonly agentsSkipped: number
  /** Of the accepted ones. */
  readonly frames: Uint8Array
}

/** A row of 16 bytes and 200 of texts each, where no two are alike: 22 MB. */
export const MAX_LINES = 100_000
/** nginx allows 32 KB of request headers, of which two are in a line. */
const MAX_LINE_BYTES = 16 * 1024
const MAX_ERRORS = 20
/** New User-Agents of one batch, 50 µs each: half a second of the CPU, in slices. */
const MAX_AGENTS = 10_000
/** 0.5 ms of work between two turns of the event loop, 3 where every User-Agent is new. */
const LINES_AT_ONCE = 50
const NEWLINE = 10

interface Row {
  readonly at: number
  readonly micros: number
  readonly client: string
  readonly subject: SharedText
}

/** @throws AppError `too-large` for more lines than one batch may have. */
export const readEdgeBatch = async (body: Buffer, now: number): Promise<EdgeBatch> => {
  let agentsSkipped = 0
  const clientText = createClientTexts(() => agentsSkipped++, MAX_AGENTS)
  const subjects = new Map<string, SharedText>()
  const rows: Row[] = []
  const errors: LineFault[] = []
  let rejected = 0
  let number = 0
  for (const line of linesOf(body)) {
    number += 1
    if (number > MAX_LINES)
      throw new AppError('too-large', `more than ${MAX_LINES} lines: send them in smaller batches`)
    if (number % LINES_AT_ONCE === 0) await setImmediate()
    try {
      const text = textOf(line)
      if (text !== '') rows.push(toRow(parseEdgeLine(text, now), subjects, clientText, now))
    } catch (error) {
      rejected += 1
      if (errors.length < MAX_ERRORS) errors.push({ line: number, reason: reasonOf(error) })
    }
  }
  // A log is written at the end of each answer; a frame wants its events by time.
  return { accepted: rows.length, rejected, errors, agentsSkipped, frames: framesOf(rows.sort((a, b) => a.at - b.at)) }
}

function* linesOf(body: Buffer): Generator<Buffer> {
  for (let start = 0; start < body.length; ) {
    const found = body.indexOf(NEWLINE, start)
    const end = found < 0 ? body.length : found
    yield body.subarray(start, end)
    start = end + 1
  }
}

const textOf = (line: Buffer): string => {
  if (line.length > MAX_LINE_BYTES) throw new AppError('bad-request', `line: over ${MAX_LINE_BYTES} bytes`)
  return line.toString().trim()
}

const reasonOf = (error: unknown): string => {
  if (error instanceof AppError) return error.message
  throw error
}

const toRow = (
  { at, subject, occurrence }: EdgeEvent,
  subjects: Map<string, SharedText>,
  clientText: ReturnType<typeof createClientTexts>,
  now: number,
): Row => {
  const { tier, status, bytesSent, totalMs } = occurrence
  const text = occurrenceText(tier, status, bytesSent, 0, 0) + subjectText(subject)
  const shared = subjects.get(text) ?? sharedText(text)
  subjects.set(text, shared)
  return {
    at,
    micros: Math.min(Math.round(totalMs * 1000), 2 ** 32 - 1),
    client: clientText(occurrence, now),
    subject: shared,
  }
}

const framesOf = (rows: readonly Row[]): Uint8Array => {
  const builder = createFrameBuilder()
  const frames: Uint8Array[] = []
  for (const { at, micros, client, subject } of rows) {
    if (builder.add(at, micros, client, subject)) continue
    frames.push(builder.take())
    builder.add(at, micros, client, subject)
  }
  if (builder.rows > 0) frames.push(builder.take())
  return Buffer.concat(frames)
}
