/** Animations: which frames a render decodes, and the way through for steps that libvips cannot do on all frames at once. */
import sharp, { type Sharp } from 'sharp'
import { CAN_ANIMATE } from '../core/image.ts'
import type { ImageLimits } from './limits.ts'
import { openOriginal } from './open.ts'
import { applySteps, FINISHING, type Recipe, SIZING } from './pipeline.ts'
import type { RenderJob } from './renderer-port.ts'
import { isTurned } from './turn.ts'

/** Whether all frames are rendered: the format can hold them, no page was picked, and they are within the frame budget. */
export const staysAnimated = ({ facts, plan }: RenderJob, limits: ImageLimits): boolean =>
  facts.animated &&
  plan.page === undefined &&
  CAN_ANIMATE[plan.format] &&
  facts.width * facts.height * facts.pages <= limits.frameBudgetPixels

/** libvips holds the frames as one tall strip: turning it would reorder them, and a blur would bleed from one into the next. */
export const needsFrameByFrame = ({ plan, geometry }: Recipe): boolean =>
  isTurned(geometry.turn) || plan.blur !== undefined || plan.sharpen !== undefined

/** @returns the finished frames as raw pixels in one strip, with the original's delays and loop count, ready for an encoder. */
export const finishFrames = async (
  job: RenderJob,
  recipe: Recipe,
): Promise<{ image: Sharp; delay: number[]; loop: number }> => {
  const source = await openOriginal(job, { animated: true })
  const { delay = [], loop = 0 } = await source.metadata()
  const { width, height } = recipe.geometry.resize
  const strip = await applySteps(source, recipe, SIZING).raw().toBuffer({ resolveWithObject: true })
  const { channels } = strip.info
  const frameBytes = width * height * channels
  const frames: Buffer[] = []
  let finished = { channels, ...recipe.geometry.output }
  for (let at = 0; at + frameBytes <= strip.data.length; at += frameBytes) {
    const frame = sharp(strip.data.subarray(at, at + frameBytes), { raw: { width, height, channels } })
    const { data, info } = await applySteps(frame, recipe, FINISHING).raw().toBuffer({ resolveWithObject: true })
    frames.push(data)
    finished = { channels: info.channels, width: info.width, height: info.height }
  }
  const raw = { ...finished, height: finished.height * frames.length, pageHeight: finished.height }
  return { image: sharp(Buffer.concat(frames), { raw }), delay, loop }
}
