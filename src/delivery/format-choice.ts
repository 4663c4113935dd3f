/** The format half of negotiation: what the client shows × what the picture needs → one format, and what may stand in for it. */
import { CAN_ANIMATE, HAS_ALPHA, type OriginalFormat, type OutputFormat } from '../core/image.ts'
import { type AcceptSays, parseAccept } from './accept.ts'
import type { ReadHeader } from './hints.ts'
import type { FormatAsked } from './transform.ts'
import { type AgentEvidence, readUserAgent, type WebpLevel } from './user-agent.ts'

/** What a format has to hold to show the picture as asked. */
export interface PictureNeeds {
  readonly animated: boolean
  readonly hasAlpha: boolean
  readonly lossless: boolean
  readonly original: OriginalFormat
}

/** How the two long headers are read; a caller may put memories in front (both are pure). */
export interface HeaderReaders {
  readonly accept: (header: string | undefined) => AcceptSays
  readonly userAgent: (header: string | undefined) => AgentEvidence
}
export const PLAIN_READERS: HeaderReaders = { accept: parseAccept, userAgent: readUserAgent }

export interface Choice {
  readonly format: OutputFormat
  readonly alternatives: readonly OutputFormat[]
}

const NONE: readonly OutputFormat[] = []

/**
 * Candidates in the server's order of preference. PNG is no rival of JPEG for a photo, although old browsers name it first
 * (`image/png,image/*;q=0.8`): it is several times larger. Lossless AVIF is larger and slower than lossless WebP.
 */
const CANDIDATES = {
  opaque: ['avif', 'webp', 'jpeg'],
  alpha: ['avif', 'webp', 'png'],
  lossless: ['webp', 'png', 'avif'],
  animated: ['webp', 'gif'],
} as const satisfies Record<string, readonly OutputFormat[]>

/** Taken where the client accepts none of the candidates. */
const LAST_RESORT: readonly OutputFormat[] = ['png', 'jpeg', 'gif']

const kindOf = (picture: PictureNeeds): keyof typeof CANDIDATES =>
  picture.animated ? 'animated' : picture.lossless ? 'lossless' : picture.hasAlpha ? 'alpha' : 'opaque'

/** What is sent to a client that accepts nothing we write: the format that every browser shows. */
const FALLBACK = { opaque: 'jpeg', alpha: 'png', lossless: 'png', animated: 'gif' } as const

/**
 * Highest weight first, the server's preference among equals (RFC 9110 §12.5.1). A client that accepts nothing we write still
 * gets a picture: browsers that refuse everything do not exist, broken headers do.
 * @param header reads a request header by its lower-case name.
 */
export const chooseFormat = (
  asked: FormatAsked,
  picture: PictureNeeds,
  header: ReadHeader,
  readers: HeaderReaders,
): Choice => {
  if (asked !== 'auto') return { format: asked, alternatives: NONE }
  const said = readers.accept(header('accept'))
  const agent = isSilent(said) ? readers.userAgent(header('user-agent')) : undefined
  const kind = kindOf(picture)
  // Evidence from the User-Agent stands in for the name that the header lacks, and so has a name's weight.
  const weigh = (format: OutputFormat): number => {
    if (format === 'avif') return said.avif.named ? said.avif.q : agent?.avif ? 1 : 0
    if (format === 'webp') return said.webp.named ? said.webp.q : agent && showsWebp(agent.webp, kind) ? 1 : 0
    return said[format].q
  }
  const format =
    heaviest(CANDIDATES[kind], weigh) ??
    (kind === 'animated' ? 'gif' : (heaviest(LAST_RESORT, weigh) ?? FALLBACK[kind]))
  const own = ownFormat(picture, format)
  return { format, alternatives: own && weigh(own) > 0 ? [own] : NONE }
}

/** Neither format is named, nor refused, nor left out of a list without wildcards: the header says nothing of them. */
const isSilent = ({ avif, webp }: AcceptSays): boolean => !avif.named && !webp.named && avif.q > 0 && webp.q > 0

const showsWebp = (level: WebpLevel, kind: keyof typeof CANDIDATES): boolean =>
  level === 'animated' || (level === 'still' && kind !== 'animated') || (level === 'lossy' && kind === 'opaque')

/** The first of the greatest weight; undefined when all weigh nothing. */
const heaviest = (
  formats: readonly OutputFormat[],
  weigh: (format: OutputFormat) => number,
): OutputFormat | undefined => {
  let best: OutputFormat | undefined
  let most = 0
  for (const format of formats) {
    const weight = weigh(format)
    if (weight > most) {
      best = format
      most = weight
    }
  }
  return best
}

/** The choice could have had an alternative, and the client does not take it. */
export const isExclusive = (asked: FormatAsked, picture: PictureNeeds, choice: Choice): boolean =>
  asked === 'auto' && choice.alternatives.length === 0 && ownFormat(picture, choice.format) !== undefined

/** The format that the original's pixels may be smaller in than in `chosen`: its own, or PNG for drawings and TIFF. */
const ownFormat = (picture: PictureNeeds, chosen: OutputFormat): OutputFormat | undefined => {
  const { original } = picture
  const own = original === 'tiff' || original === 'svg' ? 'png' : original
  const holds =
    (!picture.animated || CAN_ANIMATE[own]) &&
    (!picture.hasAlpha || HAS_ALPHA[own]) &&
    !(picture.lossless && own === 'jpeg') &&
    own !== 'avif'
  return holds && own !== chosen ? own : undefined
}

/** Every choice that some headers lead to. */
export const allChoices = (asked: FormatAsked, picture: PictureNeeds): readonly Choice[] => {
  if (asked !== 'auto') return [{ format: asked, alternatives: NONE }]
  const kind = kindOf(picture)
  const formats = new Set<OutputFormat>([...CANDIDATES[kind], ...(kind === 'animated' ? [] : LAST_RESORT)])
  return [...formats].flatMap((format) => {
    const own = ownFormat(picture, format)
    return own
      ? [
          { format, alternatives: [own] },
          { format, alternatives: NONE },
        ]
      : [{ format, alternatives: NONE }]
  })
}
