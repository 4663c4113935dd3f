/** What a job costs, in megapixels of JPEG decoding; the unit in which the pool admits work. Pure. */
import type { OriginalFormat, OutputFormat } from '../core/image.ts'
import type { RenderPlan } from '../core/render-plan.ts'
import { staysAnimated } from './animation.ts'
import type { ImageLimits } from './limits.ts'
import type { RenderJob } from './renderer-port.ts'

/**
 * Time per pixel against a full JPEG decode (some 7 ms/MP here). Rough, within a factor of two: admission needs the order of
 * magnitude, and a job that is dearer than it looks still ends at its deadline.
 */
const DECODE: Record<OriginalFormat, number> = { jpeg: 1, png: 2, webp: 2, gif: 2, avif: 3, tiff: 2, svg: 4 }
/** Encode CPU at 800 px (`encode.ts`): JPEG 12, WebP 110, AVIF 85 ms/MP; PNG in two ways, and GIF, by measurement of drawings. */
const ENCODE: Record<OutputFormat, number> = { jpeg: 2, webp: 16, avif: 12, png: 24, gif: 20 }

const outputPixels = ({ facts, plan }: RenderJob, limits: ImageLimits): number => {
  const aspect = facts.width / facts.height
  const width = plan.width ?? (plan.height ? plan.height * aspect : facts.width)
  const height = plan.height ?? (plan.width ? plan.width / aspect : facts.height)
  const natural = facts.width * facts.height
  const bounded = Math.min(width * height, limits.maxOutputPixels)
  return plan.enlarge || facts.format === 'svg' ? bounded : Math.min(bounded, natural)
}

/** JPEG decodes at ½, ¼ or ⅛ of the sides; the entropy decoding of every pixel remains, about half of the work. */
const decodeShare = (format: OriginalFormat, plan: RenderPlan, shrink: number): number =>
  format === 'jpeg' && !plan.crop && shrink >= 2 ? 0.5 : 1

/** Megapixels of JPEG decoding that `job` is worth, at least 0.1: what starting any job costs. */
export const jobCost = (job: RenderJob, limits: ImageLimits): number => {
  const { facts, plan } = job
  const frames = staysAnimated(job, limits) ? facts.pages : 1
  const output = outputPixels(job, limits)
  const input = facts.format === 'svg' ? output : facts.width * facts.height
  const shrink = Math.sqrt(input / output)
  const pixels = input * DECODE[facts.format] * decodeShare(facts.format, plan, shrink) + output * ENCODE[plan.format]
  return Math.max(0.1, (pixels * frames) / 1e6)
}
