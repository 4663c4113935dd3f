/**
 * The use case of a renderer process: one variant, and CONTRACT §1's promise that it is never larger than the same pixels of the
 * original would be in a format that the client can show. Where the first encode breaks it, others are tried, in bounded number.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type ImageFacts, type OriginalFormat, OUTPUT_FORMATS, type OutputFormat } from '../core/image.ts'
import type { RenderPlan } from '../core/render-plan.ts'
import type { VariantFacts } from '../core/variant.ts'
import { staysAnimated } from './animation.ts'
import { type Encoded, enlargeDrawing, pickPage, renderPlan } from './attempt.ts'
import { computeGeometry } from './geometry.ts'
import type { ImageLimits } from './limits.ts'
import type { RenderJob } from './renderer-port.ts'
import { stripMetadata } from './strip.ts'
import { stripPng } from './strip-png.ts'
import { isTurned } from './turn.ts'

export interface Rendered {
  readonly bytes: Buffer
  readonly facts: VariantFacts
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
  // Every browser shows a PNG's 16 bits and honours its profile, so such a one may be answered as it is.
  const shown = facts.format === 'png' || (plain && !facts.hasProfile)
  return whole && shown && allFrames && !painted && !isTurned(turn)
}

const isOutputFormat = (format: ImageFacts['format']): format is OutputFormat & ImageFacts['format'] =>
  OUTPUT_FORMATS.some((known) => known === format)

/** The original's own format, where it may be answered in. */
const ownFormat = ({ facts, plan }: RenderJob): OutputFormat | undefined =>
  isOutputFormat(facts.format) && [plan.format, ...plan.alternatives].includes(facts.format) ? facts.format : undefined

const strip = ({ format, hasProfile }: ImageFacts, bytes: Buffer): Buffer | undefined =>
  format === 'png' && hasProfile ? stripPng(bytes, 'keep') : stripMetadata(format, bytes)

const strippedOriginal = async (job: RenderJob, first: Encoded, limits: ImageLimits): Promise<Encoded | undefined> => {
  const format = ownFormat(job)
  if (!format || !showsOriginalPixels(job, limits)) return undefined
  const bytes = strip(job.facts, await readFile(job.path))
  return bytes && { ...first, format, bytes }
}

/** Bytes per pixel above the original's: the sign that the asked format does not suit this picture. */
const isDenser = ({ facts, bytes }: RenderJob, made: Encoded): boolean =>
  made.bytes.length / (made.width * made.height * made.pages) > bytes / (facts.width * facts.height * facts.pages)

/** Not for a JPEG: at equal quality WebP and AVIF are smaller, so it would be one encode more for nothing. */
const inOwnFormat = async (job: RenderJob, first: Encoded, limits: ImageLimits): Promise<Encoded | undefined> => {
  const format = ownFormat(job)
  if (!format || format === 'jpeg' || format === job.plan.format || !isDenser(job, first)) return undefined
  const made = await renderPlan({ ...job, plan: { ...job.plan, format } }, limits)
  return made.pages >= first.pages ? made : undefined
}

/** Whether all of the original is lighter than a variant that has no more pixels than it. */
const grew = (job: RenderJob, made: Encoded, limits: ImageLimits): boolean =>
  job.facts.format !== 'svg' &&
  !staysAnimated(job, limits) &&
  made.width * made.height <= job.facts.width * job.facts.height &&
  made.bytes.length > job.bytes

/** Formats that need no more bytes than the original's for the same blur: in others, coming down to it would only ruin it. */
const AS_DENSE: Partial<Record<OriginalFormat, readonly OutputFormat[]>> = {
  jpeg: ['jpeg', 'webp', 'avif'],
  webp: ['webp', 'avif'],
  avif: ['avif'],
}

/** Far enough for the chunks before a picture's data, an ICC profile of the usual size among them. */
const WEBP_HEAD_BYTES = 4096

/** WebP is two codecs: lossless data is a `VP8L` chunk (RFC 9649 §2.6). */
const isLosslessWebp = async ({ facts, path }: RenderJob): Promise<boolean> =>
  facts.format === 'webp' && (await readFile(path)).subarray(0, WEBP_HEAD_BYTES).includes('VP8L')

/**
 * Qualities to come down by. An original that was compressed hard has no quality to keep: its blocks and smears cost bytes at
 * any q above its own. One that is light because it is drawn keeps the low level.
 */
const lowerQualities = async (job: RenderJob): Promise<readonly RenderPlan['quality'][]> => {
  const compressed = AS_DENSE[job.facts.format]?.includes(job.plan.format) && !(await isLosslessWebp(job))
  return compressed ? ['low', 20, 8] : ['low']
}

/** Encodes at lower and lower quality until the variant weighs no more than the whole original. A q in the URL is the user's. */
const atLowerQuality = async (job: RenderJob, first: Encoded, limits: ImageLimits): Promise<Encoded | undefined> => {
  const { format, quality } = job.plan
  if (typeof quality === 'number' || quality === 'lossless' || format === 'png' || format === 'gif') return undefined
  if (!grew(job, first, limits)) return undefined
  let made: Encoded | undefined
  for (const lower of await lowerQualities(job)) {
    if (!grew(job, made ?? first, limits)) return made
    if (lower !== quality) made = await renderPlan({ ...job, plan: { ...job.plan, quality: lower } }, limits)
  }
  return made
}

const smaller = (a: Encoded, b: Encoded | undefined): Encoded => (b && b.bytes.length < a.bytes.length ? b : a)

/**
 * Renders `job`: the first encode, or the original's own bytes without metadata, its own format, or a lower quality where that
 * is smaller. One encode for an ordinary photo, five at the very most. Equal job and file give equal bytes.
 * @throws AppError `bad-request` (crop or page outside the picture); libvips' own errors where the file cannot be decoded.
 */
export const render = async (asked: RenderJob, limits: ImageLimits): Promise<Rendered> => {
  const job = enlargeDrawing(await pickPage(asked))
  const first = await renderPlan(job, limits)
  const stripped = await strippedOriginal(job, first, limits)
  const suited = stripped ? smaller(first, stripped) : smaller(first, await inOwnFormat(job, first, limits))
  const lightest = smaller(suited, await atLowerQuality(job, suited, limits))
  const { bytes, ...facts } = lightest
  const sha256 = createHash('sha256').update(bytes).digest('base64')
  return { bytes, facts: { ...facts, sha256, generation: 0 } }
}
