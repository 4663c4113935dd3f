/**
 * From the box that a URL asks for to the pixels that come out: fit, no enlarging, and for strangers the ladder. Pure
 * arithmetic; different boxes with the same outcome become one, so that they share a variant.
 */
import type { Fit } from '../core/render-plan.ts'
import { MAX_SIDE } from './options.ts'

export interface Size {
  readonly width: number
  readonly height: number
}

/** In output pixels, DPR in it. One side: the other follows. None: natural size. */
export interface Box {
  readonly width?: number
  readonly height?: number
}

export interface BoxRequest {
  readonly box: Box
  readonly fit: Fit
  readonly enlarge: boolean
  /** Ascending sizes that the outcome has to be on; undefined where any size is allowed. */
  readonly ladder: readonly number[] | undefined
}

/** `fill`: exactly this size, nothing cut, no bars. `cover` cuts, `contain` has bars; neither is said where it would not. */
export interface ResolvedBox extends Size {
  readonly fit: 'fill' | 'cover' | 'contain'
  /** The picture's own pixels are blown up. */
  readonly enlarged: boolean
}

const rounded = (width: number, height: number): Size => ({
  width: Math.max(1, Math.round(width)),
  height: Math.max(1, Math.round(height)),
})
const scaledBy = (scale: number, { width, height }: Size): Size => rounded(width * scale, height * scale)
const sameSize = (a: Size, b: Size): boolean => a.width === b.width && a.height === b.height
const bounded = (size: Size): Size => scaledBy(Math.min(1, MAX_SIDE / Math.max(size.width, size.height)), size)

/** The first step that is enough, else the last. */
const stepUp = (ladder: readonly number[], side: number): number =>
  ladder.find((step) => step >= side) ?? ladder.at(-1) ?? side

/**
 * @param view the picture after crop and turn.
 * `inside` and `outside` keep the picture's aspect, as does a box with one side. `cover`, `contain` and `fill` keep the box's:
 * where the picture is too small for it, the box shrinks with its aspect, so that a page's layout holds.
 */
export const resolveBox = (view: Size, request: BoxRequest): ResolvedBox => {
  const { width, height } = request.box
  if (width === undefined && height === undefined) return { ...bounded(view), fit: 'fill', enlarged: false }
  const shaped = request.fit === 'cover' || request.fit === 'contain' || request.fit === 'fill'
  if (width !== undefined && height !== undefined && shaped)
    return resolveShaped(view, { width, height }, request.fit, request)
  const x = (width ?? Number.NaN) / view.width
  const y = (height ?? Number.NaN) / view.height
  const scale = Number.isNaN(x) ? y : Number.isNaN(y) ? x : request.fit === 'outside' ? Math.max(x, y) : Math.min(x, y)
  const size = scaleTo(view, scale, request)
  return { ...size, fit: 'fill', enlarged: size.width > view.width || size.height > view.height }
}

/**
 * One scale decides. A stranger's outcome has its width on the ladder, or its height and the width that follows from it:
 * at most two outcomes a step for a picture. Else the width snaps up.
 */
const scaleTo = (view: Size, asked: number, { enlarge, ladder }: BoxRequest): Size => {
  const natural = bounded(view)
  const most = MAX_SIDE / Math.max(view.width, view.height)
  const cap = (scale: number): Size => (scale >= 1 && !enlarge ? natural : scaledBy(Math.min(scale, most), view))
  const size = cap(asked)
  if (!ladder || sameSize(size, natural) || ladder.includes(size.width)) return size
  if (ladder.includes(size.height) && sameSize(size, cap(size.height / view.height))) return size
  return cap(stepUp(ladder, size.width) / view.width)
}

const resolveShaped = (
  view: Size,
  asked: Size,
  fit: 'cover' | 'contain' | 'fill',
  request: BoxRequest,
): ResolvedBox => {
  const box = request.ladder ? snapBox(bounded(asked), request.ladder) : bounded(asked)
  const [x, y] = [box.width / view.width, box.height / view.height]
  const stretch = fit === 'contain' ? Math.min(x, y) : Math.max(x, y)
  const size = stretch > 1 && !request.enlarge ? scaledBy(1 / stretch, box) : box
  const enlarged = stretch > 1 && request.enlarge
  if (fit === 'fill') return { ...size, fit, enlarged }
  const scales = [size.width / view.width, size.height / view.height]
  const scale = fit === 'cover' ? Math.max(...scales) : Math.min(...scales)
  return { ...size, fit: sameSize(scaledBy(scale, view), size) ? 'fill' : fit, enlarged }
}

/** Shapes that people name; asked for exactly, they come out exactly. 40:21 is the 1200×630 of link previews. */
const NAMED_ASPECTS = [
  [1, 1],
  [5, 4],
  [4, 3],
  [3, 2],
  [8, 5],
  [5, 3],
  [16, 9],
  [40, 21],
  [2, 1],
  [7, 3],
  [5, 2],
  [3, 1],
  [4, 1],
].flatMap(([a = 1, b = 1]) => [a / b, b / a])

/** Steps of 2 %: the nearest is within 1 %, and 8192:1 … 1:8192 has 2 × 455 of them. */
const ASPECT_STEP = 1.02

const snapAspect = (aspect: number): number => {
  const onGrid = ASPECT_STEP ** Math.round(Math.log(aspect) / Math.log(ASPECT_STEP))
  const distance = (candidate: number): number => Math.abs(Math.log(candidate / aspect))
  return NAMED_ASPECTS.reduce((best, named) => (distance(named) < distance(best) + 1e-9 ? named : best), onGrid)
}

/** Both sides on the ladder: as asked. Else the width snaps up, and the height follows by an aspect within 1 % of the one asked. */
const snapBox = (box: Size, ladder: readonly number[]): Size => {
  if (ladder.includes(box.width) && ladder.includes(box.height)) return box
  const width = stepUp(ladder, box.width)
  return bounded(rounded(width, width / snapAspect(box.width / box.height)))
}
