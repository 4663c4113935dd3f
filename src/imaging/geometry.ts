/**
 * From a plan and a picture's size to exact pixels: what to cut, what to resize to, how to turn, where to crop, how wide the
 * bars are. Pure. libvips is then told numbers only, so that no rounding or `fit` rule of its own can differ from ours.
 */
import { AppError } from '../core/errors.ts'
import type { OutputFormat } from '../core/image.ts'
import type { Gravity, Region, RenderPlan } from '../core/render-plan.ts'
import {
  askedTurn,
  compose,
  inverse,
  type Size,
  type Turn,
  turnPoint,
  turnRegion,
  turnSize,
  uprightTurn,
} from './turn.ts'

export interface Geometry {
  /** To cut from the stored pixels, before anything else. */
  readonly source: Region | undefined
  /** To resize to, sides as stored (not turned yet). */
  readonly resize: Size
  /** Orientation of the file and turn of the plan in one. */
  readonly turn: Turn
  /** The size after the turn, in which `window` lies. */
  readonly frame: Size
  /** The part of `frame` to keep (`cover`). Where it is to be found by content, `smart` says how and `window` is centred. */
  readonly window: Region | undefined
  readonly smart: 'attention' | 'entropy' | undefined
  /** Bars around the picture (`contain`): where it lies on the canvas. */
  readonly canvas: (Size & { readonly left: number; readonly top: number }) | undefined
  /** The variant's size: one page. */
  readonly output: Size
}

/** The largest side each encoder writes: WebP stores 14 bits, the AV1 encoder stops at 2^14 here, JPEG and GIF store 16 bits. */
const MAX_SIDE: Record<OutputFormat, number> = { avif: 16_384, webp: 16_383, jpeg: 65_500, png: 65_500, gif: 65_500 }
/** Before `cover` crops, a sliver of a picture may be far longer than what is kept; libvips computes only what is kept. */
const MAX_FRAME_SIDE = 10_000_000

/** How the picture (`scaled`) and the canvas it is shown on (`box`) come out. `box` is smaller than `scaled` for `cover` only. */
interface Fitted {
  readonly scaled: Size
  readonly box: Size
}

const size = (width: number, height: number): Size => ({
  width: Math.max(1, Math.round(width)),
  height: Math.max(1, Math.round(height)),
})
const times = (by: number, { width, height }: Size): Size => size(width * by, height * by)
const atMost = (a: Size, b: Size): Size => ({ width: Math.min(a.width, b.width), height: Math.min(a.height, b.height) })
const atLeast = (a: Size, b: Size): Size => ({
  width: Math.max(a.width, b.width),
  height: Math.max(a.height, b.height),
})

/**
 * Without `enlarge` the scale stops at 1. Fits that promise a shape (`cover`, `contain`, `fill`) then keep the box's aspect
 * and shrink the box, so that a page's layout holds with a small original.
 */
const fitBox = (view: Size, box: Size, plan: Pick<RenderPlan, 'fit' | 'enlarge'>): Fitted => {
  const [x, y] = [box.width / view.width, box.height / view.height]
  const cap = (scale: number): number => (plan.enlarge ? scale : Math.min(1, scale))
  switch (plan.fit) {
    case 'inside': {
      const scaled = atMost(times(cap(Math.min(x, y)), view), box)
      return { scaled, box: scaled }
    }
    case 'outside': {
      const scaled = times(cap(Math.max(x, y)), view)
      const whole = plan.enlarge || Math.max(x, y) <= 1 ? atLeast(scaled, box) : scaled
      return { scaled: whole, box: whole }
    }
    case 'fill': {
      const filled = times(cap(1 / Math.max(x, y, 1)), box)
      const scaled = plan.enlarge ? box : atMost(filled, view)
      return { scaled, box: scaled }
    }
    case 'cover': {
      const shrunk = plan.enlarge ? box : atMost(times(1 / Math.max(x, y, 1), box), view)
      const scale = Math.max(shrunk.width / view.width, shrunk.height / view.height)
      return { scaled: atLeast(times(scale, view), shrunk), box: shrunk }
    }
    case 'contain': {
      const shrunk = plan.enlarge ? box : times(1 / Math.max(Math.min(x, y), 1), box)
      const scale = cap(Math.min(shrunk.width / view.width, shrunk.height / view.height))
      return { scaled: atMost(times(scale, view), shrunk), box: shrunk }
    }
    default:
      return plan.fit satisfies never
  }
}

type Asked = Pick<RenderPlan, 'width' | 'height' | 'fit' | 'enlarge'>

const fitAsked = (view: Size, asked: Asked): Fitted => {
  const { width, height } = asked
  if (width && height) return fitBox(view, { width, height }, asked)
  const scale = width ? width / view.width : height ? height / view.height : 1
  const scaled = times(asked.enlarge ? scale : Math.min(1, scale), view)
  const exact = {
    width: width && scale <= 1 ? width : scaled.width,
    height: height && scale <= 1 ? height : scaled.height,
  }
  return { scaled: exact, box: exact }
}

/** The same request, scaled down until encoder and memory can take it. Explicit sides stay explicit. */
const fitBounded = (view: Size, asked: Asked, format: OutputFormat, maxPixels: number): Fitted => {
  const first = fitAsked(view, asked)
  const longest = Math.max(first.box.width, first.box.height)
  const over = Math.max(
    longest / MAX_SIDE[format],
    Math.sqrt((first.box.width * first.box.height) / maxPixels),
    Math.max(first.scaled.width, first.scaled.height) / MAX_FRAME_SIDE,
  )
  if (over <= 1) return first
  const { width, height } = asked.width && asked.height ? { width: asked.width, height: asked.height } : first.box
  const down = (side: number): number => Math.max(1, Math.floor(side / over))
  return fitBox(
    view,
    { width: down(width), height: down(height) },
    { ...asked, fit: asked.width && asked.height ? asked.fit : 'inside' },
  )
}

/** Which part of the spare room lies left of (above) the window: 0, ½ or 1. */
const SHARE: Record<string, readonly [x: number, y: number]> = {
  center: [0.5, 0.5],
  north: [0.5, 0],
  northeast: [1, 0],
  east: [1, 0.5],
  southeast: [1, 1],
  south: [0.5, 1],
  southwest: [0, 1],
  west: [0, 0.5],
  northwest: [0, 0],
}

const placeWindow = (frame: Size, box: Size, gravity: Gravity, turn: Turn): Region => {
  const [spareX, spareY] = [frame.width - box.width, frame.height - box.height]
  if (typeof gravity === 'object') {
    const focus = turnPoint(gravity, turn)
    const along = (at: number, whole: number, part: number): number =>
      Math.min(whole - part, Math.max(0, Math.round(at * whole - part / 2)))
    return { left: along(focus.x, frame.width, box.width), top: along(focus.y, frame.height, box.height), ...box }
  }
  const [x, y] = SHARE[gravity] ?? [0.5, 0.5]
  return { left: Math.floor(spareX * x), top: Math.floor(spareY * y), ...box }
}

/** A region sticking out is cut to the picture. */
const clip = (region: Region, whole: Size): Region => {
  const left = Math.max(0, region.left)
  const top = Math.max(0, region.top)
  const width = Math.min(whole.width, region.left + region.width) - left
  const height = Math.min(whole.height, region.top + region.height) - top
  if (width >= 1 && height >= 1) return { left, top, width, height }
  const asked = [region.left, region.top, region.width, region.height].join(',')
  throw new AppError('bad-request', `crop ${asked} lies outside the picture, which is ${whole.width}×${whole.height}`)
}

const sameSize = (a: Size, b: Size): boolean => a.width === b.width && a.height === b.height

/**
 * @param picture size of one page, upright, and the EXIF orientation it is stored in (`ImageFacts`).
 * @param maxPixels the most pixels that the variant may have.
 * Compass gravities are as the viewer sees them; a focal point is a point of the cropped, upright picture and turns with it.
 * @throws AppError `bad-request` when the crop does not touch the picture.
 */
export const computeGeometry = (
  picture: Size & { readonly orientation: number },
  plan: RenderPlan,
  maxPixels: number,
): Geometry => {
  const upright = { width: picture.width, height: picture.height }
  const asStored = inverse(uprightTurn(picture.orientation))
  const region = plan.crop && clip(plan.crop, upright)
  const whole = !region || sameSize(region, upright)
  const planTurn = askedTurn(plan)
  const turn = compose(uprightTurn(picture.orientation), planTurn)

  const view = turnSize(region ?? upright, planTurn)
  const { scaled, box } = fitBounded(view, plan, plan.format, maxPixels)
  const cropped = box.width < scaled.width || box.height < scaled.height
  const barred = box.width > scaled.width || box.height > scaled.height
  const smart = plan.gravity === 'attention' || plan.gravity === 'entropy' ? plan.gravity : undefined
  return {
    source: whole ? undefined : turnRegion(region, upright, asStored),
    resize: turnSize(scaled, inverse(turn)),
    turn,
    frame: scaled,
    window: cropped ? placeWindow(scaled, box, plan.gravity, planTurn) : undefined,
    smart: cropped ? smart : undefined,
    canvas: barred
      ? {
          ...box,
          left: Math.floor((box.width - scaled.width) / 2),
          top: Math.floor((box.height - scaled.height) / 2),
        }
      : undefined,
    output: box,
  }
}
