/** What the reader of one format finds, and the rules that all of them keep. */
import type { FileEnds } from '../../core/file-ends.ts'
import type { HeaderFacts } from '../facts.ts'

export interface Found extends Omit<HeaderFacts, 'orientation'> {
  /** The raw block. */
  readonly exif?: Buffer | undefined
  /** The format tells how to turn the picture by itself, and EXIF's word does not count. */
  readonly upright?: boolean
}

/** A part without which the file is cut short, in words for the client. */
export interface CutShort {
  readonly missing: string
}

/**
 * Reads one format's header. Undefined: it cannot be sure of reading it as the decoder would. May throw RangeError, as Buffer
 * does beyond its end; that means the same. `step` is called once for each turn of every loop, and throws when there were too many.
 */
export type ReadFormat = (file: FileEnds, step: () => void) => Found | CutShort | undefined

/** A step is some 20 ns, so that the worst file costs about a millisecond. A GIF of 256 KiB has 1,000 full blocks. */
export const MAX_STEPS = 50_000

/** @throws (when called too often) RangeError. */
export const countSteps = (limit = MAX_STEPS): { readonly step: () => void; readonly taken: () => number } => {
  let taken = 0
  return {
    taken: () => taken,
    step: () => {
      taken += 1
      if (taken > limit) throw new RangeError(`more than ${limit} steps`)
    },
  }
}
