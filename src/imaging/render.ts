/** One render, from plan to bytes: the use case of a renderer process. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import sharp, { type Sharp } from 'sharp'
import { AppError } from '../core/errors.ts'
import { type ImageFacts, OUTPUT_FORMATS, type OutputFormat } from '../core/image.ts'
import type { RenderPlan } from '../core/render-plan.ts'
import type { VariantFacts } from '../core/variant.ts'
import { finishFrames, needsFrameByFrame, staysAnimated } from './animation.ts'
import { type Encoding, encodeAs } from './encode.ts'
import { computeGeometry, type Geometry } from './geometry.ts'
import type { ImageLimits } from './limits.ts'
import { openOriginal } from './open.ts'
import { applySteps, type Recipe } from './pipeline.ts'
import { factsOf } from './probe.ts'
import type { RenderJob } from './renderer-port.ts'
import { findWindow } from './smart-crop.ts'
import { stripMetadata } from './strip.ts'
import { rasteriseForCrop } from './svg.ts'
import { isTurned } from './turn.ts'

export interface Rendered {
  readonly bytes: Buffer
  readonly facts: VariantFacts
}

type Encoded = Pick<Rendered, 'bytes'> & Omit<VariantFacts, 'sha256' | 'generation'>

/** A picked page may have other sides than the first (TIFF, AVIF), and must exist. */
const pickPage = async (job: RenderJob): Promise<RenderJob> => {
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
const enlargeDrawing = (job: RenderJob): RenderJob =>
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

const finish = async (image: Sharp, encoding: Encoding): Promise<Encoded> => {
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
  return finish(image, encodingOf(job, geometry))
}

const encodingOf = ({ plan, facts }: RenderJob, geometry: Geometry): Encoding => ({
  format: plan.format,
  quality: plan.quality,
  original: facts.format,
  output: geometry.output,
})

const renderPlan = async (job: RenderJob, limits: ImageLimits): Promise<Encoded> => {
  const asked = computeGeometry(job.facts, job.plan, limits.maxOutputPixels)
  const drawing = await renderDrawingCrop(job, limits)
  if (drawing) return drawing
  const animated = staysAnimated(job, limits)
  const recipe: Recipe = { plan: job.plan, facts: job.facts, geometry: await aim(job, asked) }
  const encoding = encodingOf(job, asked)
  if (animated && needsFrameByFrame(recipe)) {
    const { image, delay, loop } = await finishFrames(job, recipe)
    const timed = job.plan.format === 'gif' ? image.gif({ delay, loop }) : image.webp({ delay, loop })
    return finish(timed, encoding)
  }
  const { page } = job.plan
  const source = await openOriginal(job, animated ? { animated } : page === undefined ? {} : { page })
  const image = applySteps(source, recipe)
  const reoriented = encoding.format === 'avif' && job.facts.orientation !== 1
  return finish(reoriented ? await forgetOrientation(image) : image, encoding)
}

/** Whether the variant would show exactly the original's own pixels, so that the original's own bytes would do. */
const showsOriginalPixels = (job: RenderJob, limits: ImageLimits): boolean => {
  const { facts, plan } = job
  const { source, turn, resize, window, canvas } = computeGeometry(facts, plan, limits.maxOutputPixels)
  const whole = !source && !window && !canvas && resize.width === facts.width && resize.height === facts.height
  const plain = facts.colourSpace === 'srgb' || facts.colourSpace === 'b-w'
  const allFrames = facts.pages === 1 || staysAnimated(job, limits)
  const painted =
    plan.blur !== undefined || plan.sharpen !== undefined || (facts.hasAlpha && plan.background !== undefined)
  return whole && plain && allFrames && !painted && !isTurned(turn) && !facts.hasProfile
}

const isOutputFormat = (format: ImageFacts['format']): format is OutputFormat & ImageFacts['format'] =>
  OUTPUT_FORMATS.some((known) => known === format)

/** The original's own format, where it may be answered in. */
const ownFormat = ({ facts, plan }: RenderJob): OutputFormat | undefined =>
  isOutputFormat(facts.format) && [plan.format, ...plan.alternatives].includes(facts.format) ? facts.format : undefined

const strippedOriginal = async (job: RenderJob, first: Encoded, limits: ImageLimits): Promise<Encoded | undefined> => {
  const format = ownFormat(job)
  if (!format || !showsOriginalPixels(job, limits)) return undefined
  const bytes = stripMetadata(job.facts.format, await readFile(job.path))
  return bytes && { ...first, format, bytes }
}

/** Bytes per pixel above the original's: the sign that the asked format does not suit this picture. */
const isDenser = ({ facts, bytes }: RenderJob, made: Encoded): boolean =>
  made.bytes.length / (made.width * made.height * made.pages) > bytes / (facts.width * facts.height * facts.pages)

const inOwnFormat = async (job: RenderJob, first: Encoded, limits: ImageLimits): Promise<Encoded | undefined> => {
  const format = ownFormat(job)
  if (!format || format === job.plan.format || !isDenser(job, first)) return undefined
  const made = await renderPlan({ ...job, plan: { ...job.plan, format } }, limits)
  return made.pages >= first.pages ? made : undefined
}

/** A poor original has no quality to keep: where the whole of it, not enlarged, still got bigger, the low level will do. */
const atLowLevel = async (job: RenderJob, first: Encoded, limits: ImageLimits): Promise<Encoded | undefined> => {
  const { quality, crop, enlarge } = job.plan
  if (typeof quality === 'number' || quality === 'lossless' || quality === 'low' || crop || enlarge) return undefined
  const lossy: RenderPlan = { ...job.plan, quality: 'low' }
  const grew = job.facts.format !== 'svg' && !staysAnimated(job, limits) && first.bytes.length > job.bytes
  return grew ? renderPlan({ ...job, plan: lossy }, limits) : undefined
}

/**
 * Renders `job`, and keeps CONTRACT §1's promise that a variant is never larger than the same pixels of the original would be:
 * the original's own bytes without metadata, its own format, or the low level answer where that is smaller.
 * Equal job and file give equal bytes.
 * @throws AppError `bad-request` (crop or page outside the picture); libvips' own errors where the file cannot be decoded.
 */
export const render = async (asked: RenderJob, limits: ImageLimits): Promise<Rendered> => {
  const job = enlargeDrawing(await pickPage(asked))
  const first = await renderPlan(job, limits)
  const stripped = await strippedOriginal(job, first, limits)
  const others = stripped ? [stripped] : [await inOwnFormat(job, first, limits), await atLowLevel(job, first, limits)]
  const smallest = others.reduce<Encoded>((a, b) => (b && b.bytes.length < a.bytes.length ? b : a), first)
  const { bytes, ...facts } = smallest
  const sha256 = createHash('sha256').update(bytes).digest('base64')
  return { bytes, facts: { ...facts, sha256, generation: 0 } }
}
