/** The path part `{size}.{fmt}` and the query's options ↔ `Transform`: parsed once, canonical, nothing of the signature in it. */
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { Treatment } from '../core/render-plan.ts'
import {
  decimal,
  type FormatAsked,
  formatColour,
  formatCrop,
  formatFormat,
  formatGravity,
  formatSize,
  parseColour,
  parseCrop,
  parseDpr,
  parseFit,
  parseFormat,
  parseGravity,
  parseMirror,
  parseQuality,
  parseRotation,
  parseSize,
  parseSwitch,
  type SizeAsked,
  whole,
} from './options.ts'
import { parseQuery, type RawQuery } from './query.ts'

export type { FormatAsked } from './options.ts'

declare const parsed: unique symbol

interface Fields extends Treatment {
  readonly size: SizeAsked
  readonly formatAsked: FormatAsked
  /** `auto` is the default of `autox`, 1 of every other size. */
  readonly dpr: number | 'auto'
}

/** What a URL asks for. Only `parseTransform` makes one. */
export type Transform = Fields & { readonly [parsed]: true }

/** Each option's name in the URL, and what its value says. The order is that of the canonical text. */
const OPTIONS = {
  fit: (text: string) => ({ fit: parseFit(text) }),
  g: (text: string) => ({ gravity: parseGravity(text) }),
  dpr: (text: string) => ({ dpr: parseDpr(text) }),
  q: (text: string) => ({ quality: parseQuality(text) }),
  crop: (text: string) => ({ crop: parseCrop(text) }),
  rot: (text: string) => ({ rotate: parseRotation(text) }),
  flip: parseMirror,
  bg: (text: string) => ({ background: parseColour(text) }),
  blur: (text: string) => ({ blur: decimal('blur', 0.3, 100)(text) }),
  sharp: (text: string) => ({ sharpen: decimal('sharp', 0.3, 10)(text) }),
  page: (text: string) => ({ page: whole('page', 0, 99_999)(text) }),
  enlarge: (text: string) => ({ enlarge: parseSwitch('enlarge')(text) }),
} as const satisfies Record<string, (text: string) => Partial<Fields>>

export type OptionName = keyof typeof OPTIONS
export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[]
const isOptionName = (name: string): name is OptionName => Object.hasOwn(OPTIONS, name)

interface Preset {
  readonly size: SizeAsked
  readonly options: Partial<Fields>
}
export type Presets = ReadonlyMap<string, Preset>

/** Enough for any word; keeps `@…` in a URL short. */
const PRESET_NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/

/**
 * Presets read once at start from `name → '{size}?{options}'`.
 * @throws AppError `bad-request` naming the preset that is wrong.
 */
export const parsePresets = (table: Readonly<Record<string, string>>): Presets =>
  new Map(
    Object.entries(table).map(([name, text]) => {
      if (!PRESET_NAME.test(name)) throw new AppError('bad-request', `not a name for a preset: ${quote(name)}`)
      const mark = text.indexOf('?')
      try {
        const size = parseSize(mark < 0 ? text : text.slice(0, mark))
        return [name, { size, options: parseOptions(parseQuery(mark < 0 ? '' : text.slice(mark + 1))) }]
      } catch (cause) {
        throw new AppError('bad-request', `preset ${name}: ${cause instanceof Error ? cause.message : 'wrong'}`, {
          cause,
        })
      }
    }),
  )

/**
 * @param sizeAndFormat the last path segment, such as `800x600.webp` or `@thumb.auto`.
 * Options in the URL are allowed beside a preset, and win over the preset's own.
 * @throws AppError `bad-request` naming the value that is wrong, or the option that is not known.
 */
export const parseTransform = (sizeAndFormat: string, query: RawQuery, presets: Presets): Transform => {
  const dot = sizeAndFormat.lastIndexOf('.')
  if (dot < 0) throw new AppError('bad-request', `${quote(sizeAndFormat)} is not {size}.{format} or @{preset}.{format}`)
  const asked = sizeAndFormat.slice(0, dot)
  const formatAsked = parseFormat(sizeAndFormat.slice(dot + 1))
  const preset = asked.startsWith('@') ? findPreset(asked.slice(1), presets) : { size: parseSize(asked), options: {} }
  const fields: Fields = {
    size: preset.size,
    formatAsked,
    fit: 'inside',
    gravity: 'center',
    enlarge: false,
    dpr: defaultDpr(preset.size),
    rotate: 0,
    flip: false,
    flop: false,
    quality: 'auto',
    ...preset.options,
    ...parseOptions(query),
  }
  return fields as Transform
}

const findPreset = (name: string, presets: Presets): Preset => {
  const preset = presets.get(name)
  if (preset) return preset
  throw new AppError('bad-request', `no preset ${quote(name)}; there are ${[...presets.keys()].join(', ')}`)
}

const parseOptions = (query: RawQuery): Partial<Fields> => {
  const fields: Partial<Fields> = {}
  for (const { name, value } of query.options) {
    if (!isOptionName(name))
      throw new AppError('bad-request', `no option ${quote(name)}; there are ${OPTION_NAMES.join(', ')}`)
    Object.assign(fields, OPTIONS[name](value))
  }
  return fields
}

const defaultDpr = (size: SizeAsked): number | 'auto' => (size.kind === 'auto-width' ? 'auto' : 1)

/** Canonical text `{size}.{fmt}?{options}`: defaults left out, options in one order, presets written out. */
export const formatTransform = (t: Transform): string => {
  const values: Readonly<Record<OptionName, string | number | undefined>> = {
    fit: t.fit === 'inside' ? undefined : t.fit,
    g: t.gravity === 'center' ? undefined : formatGravity(t.gravity),
    dpr: t.dpr === defaultDpr(t.size) ? undefined : t.dpr,
    q: t.quality === 'auto' ? undefined : t.quality,
    crop: t.crop && formatCrop(t.crop),
    rot: t.rotate === 0 ? undefined : t.rotate,
    flip: `${t.flop ? 'h' : ''}${t.flip ? 'v' : ''}` || undefined,
    bg: t.background && formatColour(t.background),
    blur: t.blur,
    sharp: t.sharpen,
    page: t.page,
    enlarge: t.enlarge ? 1 : undefined,
  }
  const options = OPTION_NAMES.filter((name) => values[name] !== undefined).map((name) => `${name}=${values[name]}`)
  return `${formatSize(t.size)}.${formatFormat(t.formatAsked)}${options.length > 0 ? `?${options.join('&')}` : ''}`
}
