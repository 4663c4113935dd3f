/** Port between delivery and analytics. Recording is on the hot path: about a microsecond, never awaited, never failing. */
import type { EventOccurrence, EventSubject } from '../core/event.ts'

declare const template: unique symbol
/** An event's fixed part, prepared once per representation. Opaque to the caller. */
export type EventTemplate = { readonly [template]: true }

export interface DeliveryRecorder {
  prepare(subject: EventSubject): EventTemplate
  /** Takes the event into a bounded buffer; over the bound it is dropped and counted. Never throws. */
  record(template: EventTemplate, occurrence: EventOccurrence): void
}
