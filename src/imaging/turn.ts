/**
 * Turns and mirrors as arithmetic. The eight symmetries of a rectangle are closed under composition, so an EXIF orientation
 * and whatever the URL asks for become one turn, made once, on the resized picture: the decoder keeps its shrink-on-load.
 */
import type { FocalPoint, Region, RenderPlan } from '../core/render-plan.ts'

/** Mirror left-right first if `flop`, then rotate clockwise. */
export interface Turn {
  readonly flop: boolean
  readonly angle: 0 | 90 | 180 | 270
}

export interface Size {
  readonly width: number
  readonly height: number
}

export const NO_TURN: Turn = { flop: false, angle: 0 }

const ANGLES = [0, 90, 180, 270] as const
const angleOf = (degrees: number): Turn['angle'] => ANGLES[(((degrees / 90) % 4) + 4) % 4] ?? 0

/** EXIF 2.32 §4.6.4 A, tag Orientation 1…8: the turn that shows the stored pixels upright. */
const UPRIGHT: readonly Turn[] = [
  { flop: false, angle: 0 },
  { flop: true, angle: 0 },
  { flop: false, angle: 180 },
  { flop: true, angle: 180 },
  { flop: true, angle: 270 },
  { flop: false, angle: 90 },
  { flop: true, angle: 90 },
  { flop: false, angle: 270 },
]

export const uprightTurn = (orientation: number): Turn => UPRIGHT[orientation - 1] ?? NO_TURN

/** `first`, then `second`. Moving a mirror in front of a rotation reverses the rotation. */
export const compose = (first: Turn, second: Turn): Turn => ({
  flop: first.flop !== second.flop,
  angle: angleOf((second.flop ? -first.angle : first.angle) + second.angle),
})

/** A mirrored turn undoes itself. */
export const inverse = (turn: Turn): Turn => (turn.flop ? turn : { flop: false, angle: angleOf(-turn.angle) })

/** What the URL asks for. Mirrors come before the rotation, as in sharp and Cloudflare Images; up-down is left-right turned by 180°. */
export const askedTurn = (plan: Pick<RenderPlan, 'flip' | 'flop' | 'rotate'>): Turn =>
  compose(compose({ flop: plan.flop, angle: 0 }, plan.flip ? { flop: true, angle: 180 } : NO_TURN), {
    flop: false,
    angle: plan.rotate,
  })

export const isTurned = (turn: Turn): boolean => turn.flop || turn.angle !== 0

const swapsSides = (turn: Turn): boolean => turn.angle === 90 || turn.angle === 270

export const turnSize = ({ width, height }: Size, turn: Turn): Size =>
  swapsSides(turn) ? { width: height, height: width } : { width, height }

/** Where a region of a picture of `size` lies after the turn. */
export const turnRegion = (region: Region, size: Size, turn: Turn): Region => {
  const { top, width, height } = region
  const left = turn.flop ? size.width - region.left - width : region.left
  const right = size.width - left - width
  const bottom = size.height - top - height
  if (turn.angle === 90) return { left: bottom, top: left, width: height, height: width }
  if (turn.angle === 180) return { left: right, top: bottom, width, height }
  if (turn.angle === 270) return { left: top, top: right, width: height, height: width }
  return { left, top, width, height }
}

/** The same for a point in fractions of the picture. */
export const turnPoint = (point: FocalPoint, turn: Turn): FocalPoint => {
  const { left, top } = turnRegion({ left: point.x, top: point.y, width: 0, height: 0 }, { width: 1, height: 1 }, turn)
  return { x: left, y: top }
}
