/** A crop of a drawing: rasterised as large as the crop needs, so that a cut-out is as crisp as the whole. */
import sharp, { type Sharp } from 'sharp'
import type { Region } from '../core/render-plan.ts'
import type { ImageLimits } from './limits.ts'
import { openOriginal } from './open.ts'
import type { RenderJob } from './renderer-port.ts'

/** How much larger than drawn the crop has to be to fill what the plan asks for. */
const magnification = ({ plan, facts }: RenderJob, crop: Region, limits: ImageLimits): number => {
  const wanted = Math.max((plan.width ?? 0) / crop.width, (plan.height ?? 0) / crop.height) || 1
  return Math.min(wanted, Math.sqrt(limits.maxOutputPixels / (facts.width * facts.height)))
}

/**
 * @returns the job as if the drawing had been a bitmap at the scale needed, and that bitmap (raw pixels: at most
 * `maxOutputPixels` × 4 bytes).
 */
export const rasteriseForCrop = async (
  job: RenderJob,
  crop: Region,
  limits: ImageLimits,
): Promise<{ job: RenderJob; bitmap: Sharp }> => {
  const scale = magnification(job, crop, limits)
  const side = (drawn: number): number => Math.max(1, Math.round(drawn * scale))
  const size = { width: side(job.facts.width), height: side(job.facts.height) }
  const drawing = await openOriginal(job)
  const { data, info } = await drawing
    .resize({ ...size, fit: 'fill' })
    .raw()
    .toBuffer({ resolveWithObject: true })
  const region = {
    left: Math.round(crop.left * scale),
    top: Math.round(crop.top * scale),
    width: side(crop.width),
    height: side(crop.height),
  }
  return {
    job: { ...job, facts: { ...job.facts, ...size }, plan: { ...job.plan, crop: region } },
    bitmap: sharp(data, { raw: { ...size, channels: info.channels } }),
  }
}
