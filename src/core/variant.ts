/** A variant: the bytes made from (original, transform, class), with what the headers and the event row need to know. */
import type { OutputFormat } from './image.ts'

export interface VariantFacts {
  /** What the bytes are. May be one of the plan's alternatives. */
  readonly format: OutputFormat
  readonly width: number
  readonly height: number
  readonly pages: number
  /** SHA-256 of the variant's bytes in base64: `Repr-Digest`, and the check when they are read back. */
  readonly sha256: string
  /**
   * Which encode this is: 0 for the first, made on a miss with quick settings. A later, better encode of a popular
   * variant takes the next number under the same key; the ETag contains it.
   */
  readonly generation: number
}

export interface Variant {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly facts: VariantFacts
}

/** Milliseconds a render spent waiting for a renderer, and being rendered. */
export interface RenderTiming {
  readonly queueMs: number
  readonly renderMs: number
}

/** Of an answer that needed none. */
export const NO_RENDER: RenderTiming = { queueMs: 0, renderMs: 0 }
