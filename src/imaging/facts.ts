/** From what a header says to the facts that are stored, and the limits they are held to. Pure. */
import { AppError } from '../core/errors.ts'
import type { ImageFacts, OriginalFormat } from '../core/image.ts'
import { needsConversion } from './icc.ts'
import type { ImageLimits } from './limits.ts'

/** What both readers of headers give: libvips in a renderer process, and ours in `header/`. Sides are as stored, not turned. */
export interface HeaderFacts {
  readonly width: number
  readonly height: number
  readonly orientation?: number | undefined
  readonly pages?: number | undefined
  readonly hasAlpha: boolean
  /** libvips' interpretation. */
  readonly space: string
  readonly icc?: Buffer | undefined
}

export const factsOf = (format: OriginalFormat, header: HeaderFacts): ImageFacts => {
  const orientation = header.orientation ?? 1
  const sideways = orientation >= 5 && orientation <= 8
  const { width, height, pages = 1 } = header
  // A drawing always has transparency where nothing is drawn; frames are meant to be played only in these two.
  const animated = pages > 1 && (format === 'gif' || format === 'webp')
  return {
    format,
    width: sideways ? height : width,
    height: sideways ? width : height,
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    pages,
    animated,
    hasAlpha: header.hasAlpha,
    colourSpace: header.space,
    hasProfile: needsConversion(header.icc),
  }
}

/** @throws AppError `too-large` naming the measure that is over its limit. */
export const enforceLimits = (facts: ImageFacts, limits: ImageLimits): void => {
  const { width, height, pages } = facts
  const refuse = (what: string, limit: number): never => {
    throw new AppError('too-large', `the picture has ${what}; the limit is ${limit.toLocaleString('en')}`)
  }
  if (width * height > limits.maxPixels) refuse(`${width}×${height} pixels a page`, limits.maxPixels)
  if (Math.max(width, height) > limits.maxSide) refuse(`a side of ${Math.max(width, height)} pixels`, limits.maxSide)
  if (pages > limits.maxFrames) refuse(`${pages} frames or pages`, limits.maxFrames)
  const total = width * height * pages
  if (facts.animated && total > limits.maxAnimationPixels)
    refuse(`${total} pixels in all frames`, limits.maxAnimationPixels)
}
