/** What each value in a transform URL may be: one parser for each kind of value, and the canonical text of each. */
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { OUTPUT_FORMATS, type OutputFormat } from '../core/image.ts'
import {
  COMPASS,
  type Colour,
  FITS,
  type Fit,
  type Gravity,
  QUALITY_LEVELS,
  type QualityLevel,
  type Region,
} from '../core/render-plan.ts'

/** Largest side that a URL can ask for (CONTRACT §1). */
export const MAX_SIDE = 8192

export type FormatAsked = OutputFormat | 'auto'
export type SizeAsked =
  | { readonly kind: 'box'; readonly width?: number; readonly height?: number }
  | { readonly kind: 'auto-width'; readonly height?: number }

const refuse = (name: string, text: string, expected: string): never => {
  throw new AppError('bad-request', `${name} must be ${expected}, not ${quote(text)}`)
}

const oneOf = <const T extends string>(name: string, text: string, allowed: readonly T[]): T =>
  allowed.find((value) => value === text) ?? refuse(name, text, `one of ${allowed.join(', ')}`)

/** Decimals are kept to thousandths: finer differences show in no picture, and would each be a variant. */
const DECIMAL = /^(?:0|[1-9]\d{0,4})(?:\.\d{1,16})?$/
const WHOLE = /^(?:0|[1-9]\d{0,6})$/

export const decimal =
  (name: string, min: number, max: number) =>
  (text: string): number => {
    const value = DECIMAL.test(text) ? Math.round(Number(text) * 1000) / 1000 : Number.NaN
    return value >= min && value <= max ? value : refuse(name, text, `a number from ${min} to ${max}`)
  }

export const whole =
  (name: string, min: number, max: number) =>
  (text: string): number => {
    const value = WHOLE.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : refuse(name, text, `a whole number from ${min} to ${max}`)
  }

const SIZE = /^(auto|[1-9]\d{0,3})?x([1-9]\d{0,3})?$/

/** `800x600`, `800x`, `x600`, `x`, `autox`, `autox600`. @throws AppError `bad-request`. */
export const parseSize = (text: string): SizeAsked => {
  const match = SIZE.exec(text)
  if (!match) return refuse('the size', text, `like 800x600, 800x, x600, x or autox, each side 1 to ${MAX_SIDE}`)
  const side = (digits: string | undefined): number | undefined => {
    if (digits === undefined) return undefined
    const value = Number(digits)
    return value <= MAX_SIDE ? value : refuse('the size', text, `at most ${MAX_SIDE} a side`)
  }
  const height = side(match[2])
  if (match[1] === 'auto') return { kind: 'auto-width', ...(height !== undefined && { height }) }
  const width = side(match[1])
  return { kind: 'box', ...(width !== undefined && { width }), ...(height !== undefined && { height }) }
}

export const formatSize = (size: SizeAsked): string =>
  `${size.kind === 'auto-width' ? 'auto' : (size.width ?? '')}x${size.height ?? ''}`

/** @throws AppError `bad-request` for what is no format of ours. */
export const parseFormat = (text: string): FormatAsked =>
  text === 'jpg' ? 'jpeg' : oneOf('the format', text, [...OUTPUT_FORMATS, 'auto'])

export const formatFormat = (format: FormatAsked): string => (format === 'jpeg' ? 'jpg' : format)

export const parseFit = (text: string): Fit => oneOf('fit', text, FITS)

const fraction = decimal('g', 0, 1)

/** A name, or a focal point `0.3,0.7`. */
export const parseGravity = (text: string): Gravity => {
  const [x, y, ...rest] = text.split(',')
  if (x !== undefined && y !== undefined && rest.length === 0) return { x: fraction(x), y: fraction(y) }
  return oneOf('g', text, ['center', 'attention', 'entropy', ...COMPASS])
}

export const formatGravity = (gravity: Gravity): string =>
  typeof gravity === 'string' ? gravity : `${gravity.x},${gravity.y}`

const density = decimal('dpr', 0.5, 4)
export const parseDpr = (text: string): number | 'auto' => (text === 'auto' ? 'auto' : density(text))

const quality = whole('q', 1, 100)
export const parseQuality = (text: string): QualityLevel | number =>
  /^\d/.test(text) ? quality(text) : oneOf('q', text, QUALITY_LEVELS)

/** Far above any picture we accept; that the region touches this one is judged when the picture is known. */
const MAX_OFFSET = 1_000_000
const offset = whole('crop', 0, MAX_OFFSET)
const extent = whole('crop', 1, MAX_OFFSET)

/** `x,y,w,h` in pixels of the upright original. */
export const parseCrop = (text: string): Region => {
  const [x, y, w, h, ...rest] = text.split(',')
  if (x === undefined || y === undefined || w === undefined || h === undefined || rest.length > 0)
    return refuse('crop', text, 'x,y,w,h in pixels')
  return { left: offset(x), top: offset(y), width: extent(w), height: extent(h) }
}

export const formatCrop = ({ left, top, width, height }: Region): string => [left, top, width, height].join(',')

export const parseRotation = (text: string): 0 | 90 | 180 | 270 => {
  const angle = oneOf('rot', text, ['0', '90', '180', '270'])
  return angle === '0' ? 0 : angle === '90' ? 90 : angle === '180' ? 180 : 270
}

export const parseSwitch =
  (name: string) =>
  (text: string): boolean =>
    oneOf(name, text, ['0', '1']) === '1'

/** `h` mirrors left-right, `v` up-down. */
export const parseMirror = (text: string): { readonly flip: boolean; readonly flop: boolean } => {
  const axes = oneOf('flip', text, ['h', 'v', 'hv'])
  return { flip: axes !== 'h', flop: axes !== 'v' }
}

/** CSS Color 4 §6.1: the sixteen basic names, and `transparent`. */
const NAMED_COLOURS: Readonly<Record<string, string>> = {
  black: '000000',
  silver: 'c0c0c0',
  gray: '808080',
  white: 'ffffff',
  maroon: '800000',
  red: 'ff0000',
  purple: '800080',
  fuchsia: 'ff00ff',
  green: '008000',
  lime: '00ff00',
  olive: '808000',
  yellow: 'ffff00',
  navy: '000080',
  blue: '0000ff',
  teal: '008080',
  aqua: '00ffff',
  transparent: '00000000',
}

/** 3, 4, 6 or 8 hexadecimal digits with or without `#`, or a basic name. */
export const parseColour = (text: string): Colour => {
  const lower = text.toLowerCase()
  const digits = Object.hasOwn(NAMED_COLOURS, lower) ? (NAMED_COLOURS[lower] ?? '') : lower.replace(/^#/, '')
  if (!/^(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})$/.test(digits))
    return refuse('bg', text, 'a colour: 3, 4, 6 or 8 hexadecimal digits, or a basic CSS name')
  const long = digits.length <= 4 ? digits.replace(/./g, '$&$&') : digits
  const byte = (at: number): number => Number.parseInt(long.slice(at, at + 2), 16)
  return { r: byte(0), g: byte(2), b: byte(4), alpha: long.length === 8 ? byte(6) / 255 : 1 }
}

/** Six digits, or eight where it is not opaque. */
export const formatColour = ({ r, g, b, alpha }: Colour): string =>
  [r, g, b, ...(alpha < 1 ? [Math.round(alpha * 255)] : [])].map((byte) => byte.toString(16).padStart(2, '0')).join('')
