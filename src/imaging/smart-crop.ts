/** Finds by content where `cover` should crop, on a thumbnail, so that still, turned and animated pictures are cropped by one rule. */
import sharp from 'sharp'
import type { Region } from '../core/render-plan.ts'
import type { Geometry } from './geometry.ts'
import { openOriginal } from './open.ts'
import { applySteps, SIZING, turn } from './pipeline.ts'
import type { RenderJob } from './renderer-port.ts'
import { inverse, turnSize } from './turn.ts'

/** libvips itself judges attention on a picture of some 32 px a side; 256 leaves room for the place to be exact to half a percent. */
const THUMBNAIL_SIDE = 256

/** @returns the window of `geometry.frame` that shows most, of the same size as `geometry.window`. */
export const findWindow = async (
  job: RenderJob,
  geometry: Geometry,
  window: Region,
  strategy: 'attention' | 'entropy',
): Promise<Region> => {
  const { frame } = geometry
  const scale = Math.min(1, THUMBNAIL_SIDE / Math.max(frame.width, frame.height))
  const small = (side: number): number => Math.max(1, Math.round(side * scale))
  const thumbnail = { width: small(frame.width), height: small(frame.height) }
  const recipe = {
    plan: job.plan,
    facts: job.facts,
    geometry: { ...geometry, resize: turnSize(thumbnail, inverse(geometry.turn)) },
  }
  const first = await openOriginal(job, job.plan.page === undefined ? {} : { page: job.plan.page })
  const { data, info } = await applySteps(first, recipe, [...SIZING, turn])
    .raw()
    .toBuffer({ resolveWithObject: true })
  const { width, height, channels } = info
  const cut = await sharp(data, { raw: { width, height, channels } })
    .resize({
      width: Math.min(thumbnail.width, small(window.width)),
      height: Math.min(thumbnail.height, small(window.height)),
      fit: 'cover',
      position: strategy === 'attention' ? sharp.strategy.attention : sharp.strategy.entropy,
    })
    .raw()
    .toBuffer({ resolveWithObject: true })
  // sharp reports how far the picture was moved: zero or negative.
  const place = (moved: number | undefined, whole: number, part: number): number =>
    Math.min(whole - part, Math.round(Math.abs(moved ?? 0) / scale))
  return {
    ...window,
    left: place(cut.info.cropOffsetLeft, frame.width, window.width),
    top: place(cut.info.cropOffsetTop, frame.height, window.height),
  }
}
