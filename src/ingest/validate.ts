/** What may be stored: an original's facts against the operator's policy. Pure. */
import { AppError } from '../core/errors.ts'
import type { ImageFacts, OriginalFormat } from '../core/image.ts'

export interface UploadPolicy {
  readonly formats: readonly OriginalFormat[]
  /** Longest side in pixels. */
  readonly maxSide: number
  /** Pixels of one page. */
  readonly maxPixels: number
  /** Pages or frames. */
  readonly maxPages: number
}

/** @throws AppError `unsupported-type` or `too-large`, naming the fact and its bound. */
export const validateFacts = (facts: ImageFacts, policy: UploadPolicy): void => {
  const { format, width, height, pages } = facts
  if (!policy.formats.includes(format))
    throw new AppError('unsupported-type', `${format} pictures are not accepted here; ${policy.formats.join(', ')} are`)
  if (Math.max(width, height) > policy.maxSide)
    throw new AppError('too-large', `${width}×${height} is over ${policy.maxSide} pixels a side`)
  if (width * height > policy.maxPixels)
    throw new AppError('too-large', `${width}×${height} is over ${policy.maxPixels} pixels`)
  if (pages > policy.maxPages) throw new AppError('too-large', `${pages} frames are over ${policy.maxPages}`)
}
