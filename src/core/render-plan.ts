/**
 * What a renderer is told to do, fully resolved: no hints, no `auto` sizes, no URL syntax. Plain data, so that it crosses
 * the process boundary as it is, and so that equal plans give equal bytes (it is what a variant's name is made from).
 */
import type { OutputFormat } from './image.ts'

export const FITS = ['inside', 'cover', 'contain', 'fill', 'outside'] as const
export type Fit = (typeof FITS)[number]

export const COMPASS = ['north', 'northeast', 'east', 'southeast', 'south', 'southwest', 'west', 'northwest'] as const
export type NamedGravity = 'center' | 'attention' | 'entropy' | (typeof COMPASS)[number]
/** A focal point in fractions of the (cropped, upright) picture, each 0…1. */
export interface FocalPoint {
  readonly x: number
  readonly y: number
}
export type Gravity = NamedGravity | FocalPoint

/** Perceptual levels: one level looks alike in every codec and size; the encoder maps it to that codec's own q. */
export const QUALITY_LEVELS = ['auto', 'low', 'high', 'lossless'] as const
export type QualityLevel = (typeof QUALITY_LEVELS)[number]

/** In pixels of the upright original, before any resize. */
export interface Region {
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
}

/** Red, green, blue 0…255, alpha 0…1. */
export interface Colour {
  readonly r: number
  readonly g: number
  readonly b: number
  readonly alpha: number
}

/** What is done to the pixels beside resizing to a box, with the same meaning in a URL's transform and in a plan. */
export interface Treatment {
  readonly fit: Fit
  /** Where `cover` crops. */
  readonly gravity: Gravity
  /** Only with this may the output have more pixels than the (cropped) original. */
  readonly enlarge: boolean
  readonly crop?: Region
  readonly rotate: 0 | 90 | 180 | 270
  readonly flip: boolean
  readonly flop: boolean
  /** For flattening transparency, and the bars of `contain`. Absent: white where the format has no alpha, else transparent. */
  readonly background?: Colour
  /** Gaussian sigma, 0.3…100. */
  readonly blur?: number
  /** Sigma, 0.3…10. */
  readonly sharpen?: number
  /** One page or frame, from 0. Absent: the whole animation where the format can hold it, else the first. */
  readonly page?: number
  readonly quality: QualityLevel | number
}

export interface RenderPlan extends Treatment {
  readonly format: OutputFormat
  /** The box in output pixels, DPR already multiplied in. One side absent: it follows the aspect. Both: natural size. */
  readonly width?: number
  readonly height?: number
  /**
   * Formats the client can also show. The renderer answers in one of these instead of `format` where that is smaller
   * than what `format` makes (CONTRACT §1: never larger than the original's own format would be). Empty: exactly `format`.
   */
  readonly alternatives: readonly OutputFormat[]
}
