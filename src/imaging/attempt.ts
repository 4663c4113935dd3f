/** One encode of one plan, from file to bytes; `render.ts` decides whether its result is the answer. */
import sharp, { type Sharp } from 'sharp'
import { AppError } from '../core/errors.ts'
import type { VariantFacts } from '../core/variant.ts'
import { finishFrames, needsFrameByFrame, staysAnimated } from './animation.ts'
import { type Encoding, encodeAs } from './encode.ts'
import { factsOf } from './facts.ts'
import { computeGeometry, type Geometry } from './geometry.ts'
import type { ImageLimits } from './limits.ts'
import { openOriginal } from './open.ts'
import { applySteps, type Recipe } from './pipeline.ts'
import { encodePng } from './png.ts'
import type { RenderJob } from './renderer-port.ts'
import { findWindow } from './smart-crop.ts'
import { rasteriseForCrop } from './svg.ts'

export type Encoded = Omit<VariantFacts, 'sha256' | 'generation'> & { readonly bytes: Buffer }

/** A picked page may have other sides than the first (TIFF, AVIF), and must exist. */
export const pickPage = async (job: RenderJob): Promise<RenderJob> => {
  const { facts, plan } = job
  if (plan.page === undefined || plan.page === 0) return job
  if (plan.page >= facts.pages) {
    throw new AppError(
      'bad-request',
      `page ${plan.page} does not exist: the picture has ${facts.pages}, counted from 0`,
    )
  }
  if (facts.format !== 'tiff' && facts.format !== 'avif') return job
  const page = await openOriginal(job, { page: plan.page })
  return { ...job, facts: { ...factsOf(facts.format, await page.metadata()), pages: facts.pages } }
}

/** A drawing has no pixels to run out of: it is drawn at the size asked for. */
export const enlargeDrawing = (job: RenderJob): RenderJob =>
  job.facts.format === 'svg' ? { ...job, plan: { ...job.plan, enlarge: true } } : job

const aim = async (job: RenderJob, geometry: Geometry): Promise<Geometry> =>
  geometry.smart && geometry.window
    ? { ...geometry, window: await findWindow(job, geometry, geometry.window, geometry.smart) }
    : geometry

/**
 * Raw pixels have no orientation. Only AVIF needs the detour: its encoder writes the original's EXIF orientation again, as an
 * `irot` of its own, although the pixels are upright by then and all metadata is off.
 */
const forgetOrientation = async (image: Sharp): Promise<Sharp> => {
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true })
  const { width, height, channels } = info
  return sharp(data, { raw: { width, height, channels } })
}

const finish = async (image: Sharp, encoding: Encoding, job: RenderJob): Promise<Encoded> => {
  if (encoding.format === 'png') return { format: 'png', pages: 1, ...(await encodePng(image, encoding, job)) }
  const { data, info } = await encodeAs(image, encoding).toBuffer({ resolveWithObject: true })
  const pages = info.pages ?? 1
  const height = info.pageHeight ?? info.height
  return { bytes: data, format: encoding.format, width: info.width, height, pages }
}

const renderDrawingCrop = async (asked: RenderJob, limits: ImageLimits): Promise<Encoded | undefined> => {
  if (asked.facts.format !== 'svg' || !asked.plan.crop) return undefined
  const { job, bitmap } = await rasteriseForCrop(asked, asked.plan.crop, limits)
  const geometry = computeGeometry(job.facts, job.plan, limits.maxOutputPixels)
  const image = applySteps(bitmap, { plan: job.plan, facts: job.facts, geometry })
  return finish(image, encodingOf(job, geometry), job)
}

const encodingOf = ({ plan, facts }: RenderJob, geometry: Geometry): Encoding => ({
  format: plan.format,
  quality: plan.quality,
  original: facts.format,
  output: geometry.output,
})

/** @throws AppError `bad-request` (a crop outside the picture); libvips' own errors where the file cannot be decoded. */
export const renderPlan = async (job: RenderJob, limits: ImageLimits): Promise<Encoded> => {
  const asked = computeGeometry(job.facts, job.plan, limits.maxOutputPixels)
  const drawing = await renderDrawingCrop(job, limits)
  if (drawing) return drawing
  const animated = staysAnimated(job, limits)
  const recipe: Recipe = { plan: job.plan, facts: job.facts, geometry: await aim(job, asked) }
  const encoding = encodingOf(job, asked)
  if (animated && needsFrameByFrame(recipe)) {
    const { image, delay, loop } = await finishFrames(job, recipe)
    const timed = job.plan.format === 'gif' ? image.gif({ delay, loop }) : image.webp({ delay, loop })
    return finish(timed, encoding, job)
  }
  const { page } = job.plan
  const source = await openOriginal(job, animated ? { animated } : page === undefined ? {} : { page })
  const image = applySteps(source, recipe)
  const reoriented = encoding.format === 'avif' && job.facts.orientation !== 1
  return finish(reoriented ? await forgetOrientation(image) : image, encoding, job)
}
