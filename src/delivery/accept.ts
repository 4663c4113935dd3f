/** `Accept` by RFC 9110 §12.5.1: what the client says of each format we write. */
import { MEDIA_TYPE, OUTPUT_FORMATS, type OutputFormat } from '../core/image.ts'

interface Said {
  /** 0…1; 0: not acceptable, because refused or because no range of a present header matches. */
  readonly q: number
  /** The header names this very type. If not, `q` comes from a wildcard range or an absent header. */
  readonly named: boolean
}

export type AcceptSays = Readonly<Record<OutputFormat, Said>>

/** Browsers send under 250 characters in under 15 parts; the rest of a longer header is not read. */
const MAX_CHARS = 2048
const MAX_PARTS = 64

/** Names that are sent for one of our types: `image/jpg` is not registered but common. */
const FORMAT_OF = new Map<string, OutputFormat>([
  ...OUTPUT_FORMATS.map((format) => [MEDIA_TYPE[format], format] as const),
  ['image/jpg', 'jpeg'],
])

/** RFC 9110 §12.4.2 allows three decimals; a missing leading zero (`q=.2`, Java's default header) is read as meant. */
const QVALUE = /^(?:0?\.\d{1,3}|0\.?|1(?:\.0{0,3})?)$/

const TYPE = /^[!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+$/

/** One part → lower-case type and weight; undefined when malformed, or when it asks for a parameter that our types lack. */
const parseRange = (part: string): { type: string; q: number } | undefined => {
  const [type = '', ...parameters] = part.split(';').map((text) => text.trim())
  if (!TYPE.test(type)) return undefined
  const first = parameters[0]
  if (first === undefined) return { type: type.toLowerCase(), q: 1 }
  // What follows `q` are extensions (RFC 7231 §5.3.2), what comes before narrows the type.
  const weight = /^q\s*=\s*(.*)$/i.exec(first)?.[1]
  return weight !== undefined && QVALUE.test(weight) ? { type: type.toLowerCase(), q: Number(weight) } : undefined
}

/** Commas inside quoted parameter values do not separate. */
const split = (header: string): readonly string[] =>
  header.includes('"') ? (header.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []) : header.split(',')

const SILENT: Said = { q: 1, named: false }
const sayAll = (say: (format: OutputFormat) => Said): AcceptSays => ({
  avif: say('avif'),
  webp: say('webp'),
  jpeg: say('jpeg'),
  png: say('png'),
  gif: say('gif'),
})
const NOTHING_SAID = sayAll(() => SILENT)

/**
 * Malformed parts are ignored; a header with no well-formed part is as good as absent. The most specific range decides; of
 * equal ranges the lowest weight, so that a refusal anywhere is heard. Pure and bounded: callers may keep the answer by header.
 */
export const parseAccept = (header: string | undefined): AcceptSays => {
  if (!header) return NOTHING_SAID
  const named = new Map<OutputFormat, number>()
  let anyImage: number | undefined
  let anything: number | undefined
  let understood = false
  for (const part of split(header.slice(0, MAX_CHARS)).slice(0, MAX_PARTS)) {
    const range = parseRange(part)
    if (!range) continue
    understood = true
    const format = FORMAT_OF.get(range.type)
    if (format) named.set(format, Math.min(range.q, named.get(format) ?? 1))
    else if (range.type === 'image/*') anyImage = Math.min(range.q, anyImage ?? 1)
    else if (range.type === '*/*') anything = Math.min(range.q, anything ?? 1)
  }
  if (!understood) return NOTHING_SAID
  const wild: Said = { q: anyImage ?? anything ?? 0, named: false }
  return sayAll((format) => {
    const q = named.get(format)
    return q === undefined ? wild : { q, named: true }
  })
}
