/** Client Hints and network hints: RFC 9651 items read tolerantly but bounded. A value that is odd counts as absent. */

/** A request header by its lower-case name. */
export type ReadHeader = (name: string) => string | undefined

/** The longest honest value: Chrome's legacy `DPR: 1.100000023841858` has 17 characters. */
const MAX_CHARS = 32
/** RFC 9651 allows three decimals; the legacy headers carry whole doubles. */
const NUMBER = /^\d{1,12}(?:\.\d{1,17})?$/

/** The bare item; parameters behind `;` mean nothing to us. */
const item = (header: string | undefined): string | undefined => {
  if (header === undefined || header.length > MAX_CHARS) return undefined
  const end = header.indexOf(';')
  return (end < 0 ? header : header.slice(0, end)).trim()
}

const numberIn = (header: string | undefined, min: number, max: number): number | undefined => {
  const text = item(header)
  if (text === undefined || !NUMBER.test(text)) return undefined
  const value = Number(text)
  return value >= min && value <= max ? value : undefined
}

/** Beyond 10 it is no screen; zoomed-out desktops go down to 0.25. */
const dprIn = (header: string | undefined): number | undefined => numberIn(header, 0.1, 10)
/** 16-bit sides: four times an 8K screen. */
const widthIn = (header: string | undefined): number | undefined => numberIn(header, 1, 65_535)

/** Device pixel ratio. */
export const readDpr = (header: ReadHeader): number | undefined => dprIn(header('sec-ch-dpr')) ?? dprIn(header('dpr'))

/** The `sizes` attribute's result in physical pixels: the DPR is in it already. */
export const readWidth = (header: ReadHeader): number | undefined =>
  widthIn(header('sec-ch-width')) ?? widthIn(header('width'))

/** In CSS pixels. */
export const readViewportWidth = (header: ReadHeader): number | undefined =>
  widthIn(header('sec-ch-viewport-width')) ?? widthIn(header('viewport-width'))

/** The browser prefers a phone's experience. Undefined where it does not say. */
export const readMobile = (header: ReadHeader): boolean | undefined => {
  const text = item(header('sec-ch-ua-mobile'))
  return text === '?1' ? true : text === '?0' ? false : undefined
}

/** WICG Network Information §"effective connection types": the row `3g` begins at 270 ms or ends at 700 kbit/s. */
export const SLOW_RTT_MS = 270
export const SLOW_DOWNLINK_MBPS = 0.7

/**
 * The slow-network bit. `Save-Data: on` is the user's word. Else `ECT`, the browser's own verdict, slower than `4g`. Else the
 * numbers that the browser would have made it from, by its own table, so that a client is judged alike whichever it sends.
 */
export const readSlow = (header: ReadHeader): boolean => {
  if (item(header('save-data'))?.toLowerCase() === 'on') return true
  const ect = item(header('ect'))
  if (ect === '4g') return false
  if (ect === 'slow-2g' || ect === '2g' || ect === '3g') return true
  const rttMs = numberIn(header('rtt'), 0, 1e6)
  const downlinkMbps = numberIn(header('downlink'), 0, 1e6)
  return (rttMs ?? 0) >= SLOW_RTT_MS || (downlinkMbps ?? Number.POSITIVE_INFINITY) <= SLOW_DOWNLINK_MBPS
}
