/**
 * Transform × class × facts of the original → what the renderer is told. Pure. Requests that give the same pixels become the
 * same plan; what a stranger asks for is moved onto closed sets first, so that he can make only so many variants.
 */
import { AppError } from '../core/errors.ts'
import { CAN_ANIMATE, type ImageFacts } from '../core/image.ts'
import type { Gravity, QualityLevel, Region, RenderPlan } from '../core/render-plan.ts'
import { type Box, resolveBox, type Size } from './box.ts'
import type { NegotiatedClass } from './negotiate.ts'
import { formatCrop, MAX_SIDE } from './options.ts'
import type { Transform } from './transform.ts'
import { nameVariant } from './variant-name.ts'

/** `signed`: sizes and numbers exactly as asked. `unsigned`: a stranger's, moved onto the ladder and its like. */
export type Trust = 'signed' | 'unsigned'

export interface PlannedVariant {
  readonly plan: RenderPlan
  /** The plan's canonical text, for `variantKey`. */
  readonly name: string
  /** The ratio that was applied. */
  readonly dpr: number
  /** The widest of what was asked (DPR in it) and what comes out, in pixels: what a policy signature's range is held against. */
  readonly effectiveWidth: number
}

/**
 * @param ladder ascending sizes in pixels that a stranger may have.
 * @throws AppError `bad-request` when the crop does not touch the picture or the page does not exist.
 */
export const planVariant = (
  transform: Transform,
  klass: NegotiatedClass,
  facts: ImageFacts,
  trust: Trust,
  ladder: readonly number[],
): PlannedVariant => {
  const crop = transform.crop && clipCrop(transform.crop, facts)
  const turn = simplestTurn(transform)
  const view = turnedSize(crop ?? facts, turn.rotate)
  const dpr = transform.dpr === 'auto' ? klass.dpr : transform.dpr
  const asked = effectiveBox(transform, klass, dpr)
  const out = resolveBox(view, {
    box: asked,
    fit: transform.fit,
    enlarge: transform.enlarge,
    ladder: trust === 'signed' ? undefined : ladder,
  })
  const natural = out.width === view.width && out.height === view.height && out.fit === 'fill'
  const page = usefulPage(transform, klass, facts)
  const coloured = transform.background !== undefined && (facts.hasAlpha || out.fit === 'contain')
  const snap = trust === 'signed' ? AS_ASKED : TO_STEPS
  const plan: RenderPlan = {
    format: klass.format,
    ...(!natural && { width: out.width, height: out.height }),
    fit: out.fit,
    gravity: out.fit === 'cover' ? snap.gravity(transform.gravity) : 'center',
    enlarge: out.enlarged,
    ...(crop && { crop }),
    ...turn,
    ...(coloured && { background: transform.background }),
    ...(transform.blur !== undefined && { blur: snap.sigma(transform.blur) }),
    ...(transform.sharpen !== undefined && { sharpen: snap.sigma(transform.sharpen) }),
    ...(page !== undefined && { page }),
    quality: klass.slow && transform.quality === 'auto' ? 'low' : snap.quality(transform.quality),
    alternatives: klass.alternatives,
  }
  return { plan, name: nameVariant(plan), dpr, effectiveWidth: Math.max(asked.width ?? 0, out.width) }
}

interface Snap {
  readonly quality: (quality: QualityLevel | number) => QualityLevel | number
  readonly sigma: (sigma: number) => number
  readonly gravity: (gravity: Gravity) => Gravity
}

const AS_ASKED: Snap = { quality: (quality) => quality, sigma: (sigma) => sigma, gravity: (gravity) => gravity }

/** A stranger's numbers: 20 qualities, 200 blurs, 20 sharpenings, 21 × 21 focal points. */
const TO_STEPS: Snap = {
  quality: (quality) => (typeof quality === 'number' ? Math.ceil(quality / 5) * 5 : quality),
  sigma: (sigma) => Math.max(1, Math.round(sigma * 2)) / 2,
  gravity: (gravity) =>
    typeof gravity === 'string' ? gravity : { x: toTwentieth(gravity.x), y: toTwentieth(gravity.y) },
}

const toTwentieth = (share: number): number => Math.round(share * 20) / 20

/** The box in output pixels. A negotiated width has the ratio in it; natural size has nothing to multiply. */
const effectiveBox = ({ size }: Transform, klass: NegotiatedClass, dpr: number): Box => {
  const times = (side: number): number => Math.min(MAX_SIDE, Math.max(1, Math.round(side * dpr)))
  const width = size.kind === 'auto-width' ? klass.width : size.width === undefined ? undefined : times(size.width)
  const height = size.height === undefined ? undefined : times(size.height)
  return { ...(width !== undefined && { width }), ...(height !== undefined && { height }) }
}

/** A region sticking out is cut to the picture; one that is the whole picture is none. */
const clipCrop = (crop: Region, { width, height }: Size): Region | undefined => {
  const clipped = {
    left: crop.left,
    top: crop.top,
    width: Math.min(crop.width, width - crop.left),
    height: Math.min(crop.height, height - crop.top),
  }
  if (clipped.width < 1 || clipped.height < 1)
    throw new AppError('bad-request', `crop ${formatCrop(crop)} lies outside the picture, which is ${width}×${height}`)
  return clipped.width === width && clipped.height === height ? undefined : clipped
}

type Turn = Pick<RenderPlan, 'rotate' | 'flip' | 'flop'>

/**
 * The eight symmetries have sixteen spellings. Half a turn is both mirrors and commutes with everything, so two mirrors become
 * half a turn, and half a turn with one mirror becomes the other mirror: each symmetry in its shortest form.
 */
const simplestTurn = ({ rotate, flip, flop }: Turn): Turn => {
  if (flip && flop) return { rotate: halfTurn(rotate), flip: false, flop: false }
  if ((flip || flop) && rotate >= 180) return { rotate: halfTurn(rotate), flip: flop, flop: flip }
  return { rotate, flip, flop }
}

const HALF_TURN = { 0: 180, 90: 270, 180: 0, 270: 90 } as const
const halfTurn = (rotate: Turn['rotate']): Turn['rotate'] => HALF_TURN[rotate]

const turnedSize = ({ width, height }: Size, rotate: Turn['rotate']): Size =>
  rotate === 90 || rotate === 270 ? { width: height, height: width } : { width, height }

/** Undefined where the page asked for is what is shown anyway. */
const usefulPage = ({ page }: Transform, klass: NegotiatedClass, facts: ImageFacts): number | undefined => {
  if (page === undefined) return undefined
  if (page >= facts.pages)
    throw new AppError('bad-request', `page ${page} does not exist; the image has ${facts.pages}, from 0`)
  const firstIsShown = !facts.animated || facts.pages === 1 || !CAN_ANIMATE[klass.format]
  return page === 0 && firstIsShown ? undefined : page
}
