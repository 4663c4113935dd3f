/** A plan's canonical text: what a variant is filed under. Equal plans have equal names, different plans different ones. */
import type { Gravity, RenderPlan } from '../core/render-plan.ts'
import { formatColour } from './options.ts'

/**
 * Goes into every name. To be changed when equal plans begin to give other pixels (a new encoder, a new default), so that old
 * variants age out instead of being served as new ones.
 */
export const RECIPE = 'r2'

/**
 * Such as `r1-800x600-cover-g0.3_0.7-qauto-or.jpeg.avif`: characters `[a-z0-9.,_-]`, at most 190 (every part has a bound;
 * together 160). Every part but the size begins with letters of its own, so none can be read as another.
 */
export const nameVariant = (plan: RenderPlan): string => {
  const { crop } = plan
  const parts = [
    RECIPE,
    `${plan.width ?? ''}x${plan.height ?? ''}`,
    plan.fit === 'fill' ? '' : plan.fit,
    plan.gravity === 'center' ? '' : `g${nameGravity(plan.gravity)}`,
    plan.enlarge ? 'enlarge' : '',
    crop ? `crop${[crop.left, crop.top, crop.width, crop.height].join('_')}` : '',
    plan.rotate === 0 ? '' : `rot${plan.rotate}`,
    plan.flip ? 'flip' : '',
    plan.flop ? 'flop' : '',
    plan.background ? `bg${formatColour(plan.background)}` : '',
    plan.blur === undefined ? '' : `blur${plan.blur}`,
    plan.sharpen === undefined ? '' : `sharp${plan.sharpen}`,
    plan.page === undefined ? '' : `page${plan.page}`,
    `q${plan.quality}`,
    plan.alternatives.length === 0 ? '' : `or.${plan.alternatives.join('.')}`,
  ]
  return `${parts.filter((part) => part !== '').join('-')}.${plan.format}`
}

const nameGravity = (gravity: Gravity): string => (typeof gravity === 'string' ? gravity : `${gravity.x}_${gravity.y}`)
