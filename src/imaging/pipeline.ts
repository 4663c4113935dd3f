/** A transform as an ordered list of one-idea steps, each with its own "nothing to do" guard. */
import type { Sharp } from 'sharp'
import { HAS_ALPHA, type ImageFacts } from '../core/image.ts'
import type { Colour, RenderPlan } from '../core/render-plan.ts'
import type { Geometry } from './geometry.ts'

/** All that a step may look at. */
export interface Recipe {
  readonly plan: RenderPlan
  readonly facts: ImageFacts
  readonly geometry: Geometry
}

type Step = (image: Sharp, recipe: Recipe) => Sharp

const WHITE: Colour = { r: 255, g: 255, b: 255, alpha: 1 }
const TRANSPARENT: Colour = { r: 0, g: 0, b: 0, alpha: 0 }

/** A translucent colour laid on white, for formats without alpha. */
const onWhite = ({ r, g, b, alpha }: Colour): Colour => {
  const mix = (channel: number): number => Math.round(channel * alpha + 255 * (1 - alpha))
  return { r: mix(r), g: mix(g), b: mix(b), alpha: 1 }
}

const background = ({ format, background: asked }: RenderPlan): Colour =>
  HAS_ALPHA[format] ? (asked ?? TRANSPARENT) : onWhite(asked ?? WHITE)

/** Exact pixels of the original, at the price of shrink-on-load: a crop then resize by 4 must not show what lay beside the crop. */
const cutSource: Step = (image, { geometry }) => (geometry.source ? image.extract(geometry.source) : image)

/** Always given, even at the natural size: sharp takes an `extract` before any `resize` for one of the source. */
const resize: Step = (image, { geometry }) => image.resize({ ...geometry.resize, fit: 'fill' })

/** After the resize: turning 0.5 MP costs nothing, turning 6 MP would keep them all in memory. */
export const turn: Step = (image, { geometry }) => image.flop(geometry.turn.flop).rotate(geometry.turn.angle)

export const cutWindow: Step = (image, { geometry }) => (geometry.window ? image.extract(geometry.window) : image)

export const addBars: Step = (image, { geometry, plan }) => {
  if (!geometry.canvas) return image
  const { left, top, width, height } = geometry.canvas
  const right = width - left - geometry.frame.width
  const bottom = height - top - geometry.frame.height
  return image.extend({ left, top, right, bottom, background: background(plan) })
}

export const flatten: Step = (image, { plan, facts }) => {
  const opaque = !HAS_ALPHA[plan.format] || plan.background?.alpha === 1
  return facts.hasAlpha && opaque ? image.flatten({ background: background(plan) }) : image
}

export const blur: Step = (image, { plan }) => (plan.blur ? image.blur(plan.blur) : image)

export const sharpen: Step = (image, { plan }) => (plan.sharpen ? image.sharpen({ sigma: plan.sharpen }) : image)

/**
 * libvips converts from an embedded profile to sRGB, but 16-bit input only to Display P3; the output profile makes the second
 * half of that way. It is not attached: sRGB is what a picture without a profile means.
 */
const convertColours: Step = (image, { facts }) =>
  facts.hasProfile && facts.colourSpace === 'rgb16' ? image.withIccProfile('srgb', { attach: false }) : image

/** What happens to a picture once it has its size and way up; on an animation these are done frame by frame. */
export const FINISHING: readonly Step[] = [turn, cutWindow, addBars, flatten, blur, sharpen]

const STEPS: readonly Step[] = [cutSource, resize, ...FINISHING, convertColours]

/** Decoding up to the resize, without what follows. */
export const SIZING: readonly Step[] = [cutSource, resize, convertColours]

/**
 * Metadata needs no step: sharp writes none unless asked. sharp runs its operations in an order of its own; for this list the
 * two agree, except that it flattens before it resizes, which gives the same edges.
 */
export const applySteps = (image: Sharp, recipe: Recipe, steps: readonly Step[] = STEPS): Sharp =>
  steps.reduce((done, step) => step(done, recipe), image)
