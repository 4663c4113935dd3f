/**
 * A URL's form and the client's headers → one class of a closed set: format × width step × DPR step × slow bit. Pure. No
 * header, however odd, gives a class outside the set, so the classes of a URL bound its variants.
 */
import type { ImageFacts, OutputFormat } from '../core/image.ts'
import {
  allChoices,
  chooseFormat,
  type HeaderReaders,
  isExclusive,
  type PictureNeeds,
  PLAIN_READERS,
} from './format-choice.ts'
import { type ReadHeader, readDpr, readMobile, readSlow, readViewportWidth, readWidth } from './hints.ts'
import type { FormatAsked, Transform } from './transform.ts'
import type { DeviceClass } from './user-agent.ts'

/** What of a URL is left to negotiation. */
export interface UrlForm {
  readonly format: FormatAsked
  readonly formatAuto: boolean
  readonly widthAuto: boolean
  readonly dprAuto: boolean
  /** The ratio the URL states; 1 where `dprAuto`. */
  readonly dpr: number
  readonly qualityAuto: boolean
  /** What the URL takes from the picture's needs: one page is asked for; transparency is painted over. */
  readonly onePage: boolean
  readonly flattened: boolean
  readonly lossless: boolean
}

export const formOf = (transform: Transform): UrlForm => ({
  format: transform.formatAsked,
  formatAuto: transform.formatAsked === 'auto',
  widthAuto: transform.size.kind === 'auto-width',
  dprAuto: transform.dpr === 'auto',
  dpr: transform.dpr === 'auto' ? 1 : transform.dpr,
  qualityAuto: transform.quality === 'auto',
  onePage: transform.page !== undefined,
  flattened: transform.background?.alpha === 1,
  lossless: transform.quality === 'lossless',
})

/** What negotiation has to know of the original. */
export type Picture = Pick<ImageFacts, 'format' | 'hasAlpha' | 'animated'>

const needsOf = (form: UrlForm, picture: Picture): PictureNeeds => ({
  animated: picture.animated && !form.onePage,
  hasAlpha: picture.hasAlpha && !form.flattened,
  lossless: form.lossless,
  original: picture.format,
})

export interface NegotiatedClass {
  readonly format: OutputFormat
  /** A step in physical pixels; 0 where the URL states its width. */
  readonly width: number
  /** A step; 0 where the URL states its ratio. */
  readonly dpr: number
  readonly slow: boolean
  /**
   * At most one: the original's own format, where the client shows it and it holds the picture; for `RenderPlan.alternatives`.
   * A client that does not take it is in a class of its own (`-only`), so that a class still names one variant.
   */
  readonly alternatives: readonly OutputFormat[]
  /** Such as `avif-w640-d2-fast`: what was negotiated, and nothing else. */
  readonly name: string
}

/** What an operator may change; ascending steps, at least one of each. */
export interface NegotiationTables {
  readonly widthSteps: readonly number[]
  readonly dprSteps: readonly number[]
  /** The screen assumed without hints: CSS width and ratio. */
  readonly screens: Readonly<Record<DeviceClass, { readonly width: number; readonly dpr: number }>>
}

/** Asks for every hint that some URL form consults. The legacy names are for browsers before Chromium 98. */
export const ACCEPT_CH =
  'Sec-CH-DPR, Sec-CH-Width, Sec-CH-Viewport-Width, Sec-CH-UA-Mobile, DPR, Width, Viewport-Width, Save-Data, ECT, RTT, Downlink'

const networkMatters = (form: UrlForm): boolean =>
  form.qualityAuto && (form.formatAuto || form.widthAuto || form.dprAuto)

/** The value of `Vary` as a list: every header that this form consults, whatever the outcome; empty for an explicit URL. */
export const consultedHeaders = (form: UrlForm): readonly string[] => [
  ...(form.formatAuto ? ['Accept'] : []),
  ...(form.formatAuto || form.widthAuto ? ['User-Agent'] : []),
  ...(form.dprAuto ? ['Sec-CH-DPR', 'DPR'] : []),
  ...(form.widthAuto ? ['Sec-CH-Width', 'Width', 'Sec-CH-Viewport-Width', 'Viewport-Width', 'Sec-CH-UA-Mobile'] : []),
  ...(networkMatters(form) ? ['Save-Data', 'ECT', 'RTT', 'Downlink'] : []),
]

/** @param header reads a request header by its lower-case name. */
export const negotiate = (
  form: UrlForm,
  picture: Picture,
  header: ReadHeader,
  tables: NegotiationTables,
  readers: HeaderReaders = PLAIN_READERS,
): NegotiatedClass => {
  const needs = needsOf(form, picture)
  const slow = networkMatters(form) && readSlow(header)
  const { format, alternatives } = chooseFormat(form.format, needs, header, readers)
  const { width, dpr } = negotiateScreen(form, header, slow, tables, readers)
  return nameClass(form, needs, { format, width, dpr, slow, alternatives })
}

const nameClass = (form: UrlForm, needs: PictureNeeds, chosen: Omit<NegotiatedClass, 'name'>): NegotiatedClass => {
  const { format, width, dpr, slow, alternatives } = chosen
  let name: string = format
  if (isExclusive(form.format, needs, chosen)) name += '-only'
  if (form.widthAuto) name += `-w${width}`
  if (form.dprAuto) name += `-d${dpr}`
  if (networkMatters(form)) name += slow ? '-slow' : '-fast'
  return { format, width, dpr, slow, alternatives, name }
}

/** The first step that is enough, else the last. */
const stepUp = (steps: readonly number[], value: number): number =>
  steps.find((step) => step >= value) ?? steps.at(-1) ?? value

const negotiateScreen = (
  form: UrlForm,
  header: ReadHeader,
  slow: boolean,
  tables: NegotiationTables,
  readers: HeaderReaders,
): { width: number; dpr: number } => {
  if (!form.widthAuto && !form.dprAuto) return { width: 0, dpr: 0 }
  const device = form.widthAuto ? deviceOf(header, readers) : 'other'
  const hinted = readDpr(header)
  const ratio = form.dprAuto ? (hinted ?? (form.widthAuto ? tables.screens[device].dpr : 1)) : form.dpr
  const used = slow && form.dprAuto ? Math.min(1, ratio) : ratio
  const dpr = form.dprAuto ? stepUp(tables.dprSteps, used) : 0
  if (!form.widthAuto) return { width: 0, dpr }
  const physical = readWidth(header)
  // `Width` has the client's ratio in it; what a slow network saves has to be taken out again.
  const css = readViewportWidth(header) ?? tables.screens[device].width
  const wanted = physical === undefined ? css * used : physical * (used / ratio)
  return { width: stepUp(tables.widthSteps, wanted), dpr }
}

const deviceOf = (header: ReadHeader, readers: HeaderReaders): DeviceClass => {
  if (readMobile(header)) return 'phone'
  return readers.userAgent(header('user-agent')).device
}

/** The closed set for one form and picture: every class that some headers lead to, and no other. */
export const allClasses = (form: UrlForm, picture: Picture, tables: NegotiationTables): readonly NegotiatedClass[] => {
  const needs = needsOf(form, picture)
  const choices = allChoices(form.format, needs)
  const widths = form.widthAuto ? tables.widthSteps : [0]
  const ratios = form.dprAuto ? tables.dprSteps : [0]
  const networks = networkMatters(form) ? [false, true] : [false]
  return choices.flatMap((choice) =>
    widths.flatMap((width) =>
      ratios.flatMap((dpr) => networks.map((slow) => nameClass(form, needs, { ...choice, width, dpr, slow }))),
    ),
  )
}
