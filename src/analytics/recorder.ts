/** The hot end of analytics: an event becomes four numbers and two shared texts, which wait in a bounded buffer for the spool. */
import type { EventOccurrence } from '../core/event.ts'
import { createClientTexts } from './client-texts.ts'
import { occurrenceText, subjectText } from './event-row.ts'
import { type Append, createFrameBuffer, type FrameBufferOptions } from './frame-buffer.ts'
import { type SharedText, sharedText } from './frame-builder.ts'
import type { DeliveryRecorder, EventTemplate } from './recorder-port.ts'

export interface RecorderStats {
  /** Events offered to `record`. Each ends in exactly one of `recorded` and the `dropped…` counts. */
  readonly accepted: number
  /** Written to the spool and synced: from here on a crash does not lose them. */
  readonly recorded: number
  readonly droppedBufferFull: number
  readonly droppedSpoolFull: number
  readonly droppedSpoolFault: number
  readonly droppedClosed: number
  /** Events stored without device facts, because too many new User-Agents came in one second. */
  readonly agentsSkipped: number
}

export interface Recorder extends DeliveryRecorder {
  readonly stats: RecorderStats
  /** Resolves when every event accepted so far is recorded or counted as dropped. Never rejects. */
  flush(): Promise<void>
  /** Flushes; what comes later is dropped and counted. */
  close(): Promise<void>
}

/** The fixed part, and the last outcome seen with it: a hot hit repeats tier, status and size exactly. */
interface Template {
  readonly subject: string
  tier: string
  status: number
  bytesSent: number
  outcome: SharedText
}

const DROPPED = { 'over-budget': 'droppedSpoolFull', failed: 'droppedSpoolFault' } as const

/** Four billion µs are over an hour; what takes longer is no request. */
const MAX_MICROS = 2 ** 32 - 1

/** Milliseconds to whole microseconds; 0 for NaN and what is negative. */
const microsOf = (ms: number): number => (ms > 0 ? Math.min(Math.round(ms * 1000), MAX_MICROS) : 0)

export const createRecorder = (append: Append, options: FrameBufferOptions = {}): Recorder => {
  const count = {
    accepted: 0,
    recorded: 0,
    droppedBufferFull: 0,
    droppedSpoolFull: 0,
    droppedSpoolFault: 0,
    droppedClosed: 0,
    agentsSkipped: 0,
  }
  const clientText = createClientTexts(() => count.agentsSkipped++)
  const buffer = createFrameBuffer(
    append,
    (outcome, rows) => {
      count[outcome === 'recorded' ? outcome : DROPPED[outcome]] += rows
    },
    options,
  )
  let closed = false

  return {
    stats: count,
    prepare: (subject) => {
      const template: Template = {
        subject: subjectText(subject),
        tier: '',
        status: -1,
        bytesSent: -1,
        outcome: sharedText(''),
      }
      // The port hands templates out as opaque tokens; this file is the only one that looks inside.
      return template as unknown as EventTemplate
    },
    record: (token, occurrence) => {
      count.accepted++
      if (closed) {
        count.droppedClosed++
        return
      }
      const now = Date.now()
      const outcome = outcomeOf(token as unknown as Template, occurrence)
      if (!buffer.push(now, microsOf(occurrence.totalMs), clientText(occurrence, now), outcome))
        count.droppedBufferFull++
    },
    flush: buffer.flush,
    close: async () => {
      closed = true
      await buffer.flush()
    },
  }
}

const outcomeOf = (template: Template, o: EventOccurrence): SharedText => {
  if (o.queueMs !== 0 || o.renderMs !== 0)
    return sharedText(occurrenceText(o.tier, o.status, o.bytesSent, o.queueMs, o.renderMs) + template.subject)
  if (template.tier !== o.tier || template.status !== o.status || template.bytesSent !== o.bytesSent) {
    template.outcome = sharedText(occurrenceText(o.tier, o.status, o.bytesSent, 0, 0) + template.subject)
    template.tier = o.tier
    template.status = o.status
    template.bytesSent = o.bytesSent
  }
  return template.outcome
}
