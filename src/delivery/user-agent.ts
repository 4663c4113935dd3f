/**
 * What the `User-Agent` proves: whether this browser shows AVIF and WebP, asked only where `Accept` is silent about both, and
 * what kind of device it is. Unknown proves nothing. First versions are those of MDN's browser-compat-data (mediatypes.image)
 * and caniuse (webp, avif); where they differ, the later one.
 */

export type DeviceClass = 'phone' | 'tablet' | 'desktop' | 'tv' | 'bot' | 'other'

/**
 * How much of WebP a browser shows. `lossy`: opaque and still only (2011's format); `still`: alpha and lossless too (libwebp
 * 0.2); `animated`: all of it.
 */
export type WebpLevel = 'none' | 'lossy' | 'still' | 'animated'

export interface AgentEvidence {
  readonly avif: boolean
  readonly webp: WebpLevel
  readonly device: DeviceClass
}

type Shows = Omit<AgentEvidence, 'device'>

const NOTHING: Shows = { avif: false, webp: 'none' }
const WEBP: Shows = { avif: false, webp: 'animated' }
const BOTH: Shows = { avif: true, webp: 'animated' }

/** Real ones end under 400 characters (in-app browsers are the longest). */
const MAX_CHARS = 512

interface Version {
  readonly major: number
  readonly minor: number
}

/** The number right after `token`: `Chrome/104.0` → 104, 0. Undefined when the token or the number is missing. */
const versionAfter = (agent: string, token: string): Version | undefined => {
  const at = agent.indexOf(token)
  if (at < 0) return undefined
  const match = /^(\d{1,5})(?:[._](\d{1,5}))?/.exec(agent.slice(at + token.length, at + token.length + 12))
  return match ? { major: Number(match[1]), minor: Number(match[2] ?? 0) } : undefined
}

const atLeast = (version: Version, major: number, minor = 0): boolean =>
  version.major > major || (version.major === major && version.minor >= minor)

/** Bots and tools. `cubot` is a maker of phones. */
const ROBOTS =
  /(?<!cu)bot(?:\b|_)|crawl|spider|slurp|facebookexternalhit|bingpreview|lighthouse|pagespeed|headless|phantomjs|^(?!mozilla\/|opera\/)/i

/** Proxies that render on a server, engines with a browser's name but not its decoders, and ports that hide their engine. */
const NOT_WHAT_IT_SAYS =
  /opera mini|ucweb|u2\/|trident|msie|iemobile|goanna|seamonkey|k-meleon|servo|camino|epiphany|midori|presto.*(?:tv|hbbtv)|puffin/i

/** Chromium built by others, often without its AV1 decoder: televisions (their makers' builds) and caniuse's and_uc, and_qq. */
const NO_AVIF_BUILD =
  /ucbrowser|qqbrowser|qbwebview|xweb|micromessenger|baidu|smart-?tv|smarttv|\btv\b|hbbtv|web0s|webos|tizen|vidaa|crkey|bravia|roku|aft[a-z]|playstation|nintendo|xbox|kaios/i

/** iOS 14 and 16.1, whatever the browser's name: every browser there is WebKit (BCD safari_ios 14, 16.1; caniuse 16.0). */
const iosShows = (agent: string): Shows | undefined => {
  if (!/\((?:iPhone|iPad|iPod)/.test(agent)) return undefined
  const version = versionAfter(agent, ' OS ')
  if (!version) return NOTHING
  return atLeast(version, 16, 1) ? BOTH : atLeast(version, 14) ? WEBP : NOTHING
}

/** EdgeHTML 18; Edge on Chromium 79, AVIF not before 121 although Chromium has it since 85 (BCD edge). */
const edgeShows = (agent: string): Shows | undefined => {
  const legacy = versionAfter(agent, ' Edge/')
  if (legacy) return atLeast(legacy, 18) ? WEBP : NOTHING
  const edge = versionAfter(agent, ' Edg/') ?? versionAfter(agent, ' EdgA/') ?? versionAfter(agent, ' EdgW/')
  if (!edge) return undefined
  return atLeast(edge, 121) ? chromiumShows(agent) : { avif: false, webp: chromiumShows(agent)?.webp ?? 'none' }
}

/**
 * Chromium and all that is built on it (Opera 15+, Samsung Internet, WebView, Electron…) by its engine's version: WebP 17,
 * alpha and lossless 23, animated 32; AVIF 85 (BCD chrome). Opera 71 and Samsung Internet 14 are Chromium 85 and 87.
 */
const chromiumShows = (agent: string): Shows | undefined => {
  const chromium = versionAfter(agent, 'Chrome/') ?? versionAfter(agent, 'Chromium/')
  if (!chromium) return undefined
  if (!atLeast(chromium, 17)) return NOTHING
  if (!atLeast(chromium, 32)) return { avif: false, webp: atLeast(chromium, 23) ? 'still' : 'lossy' }
  const samsung = versionAfter(agent, 'SamsungBrowser/')
  const old = !atLeast(chromium, 85) || (samsung !== undefined && !atLeast(samsung, 14))
  return old || NO_AVIF_BUILD.test(agent) ? WEBP : BOTH
}

/** Firefox 65 and 93, on every system but iOS (BCD firefox, firefox_android). */
const firefoxShows = (agent: string): Shows | undefined => {
  const firefox = agent.includes('Gecko/') ? versionAfter(agent, ' Firefox/') : undefined
  if (!firefox) return undefined
  if (!atLeast(firefox, 65)) return NOTHING
  return atLeast(firefox, 93) && !NO_AVIF_BUILD.test(agent) ? BOTH : WEBP
}

/**
 * Safari on a Mac: WebP with 14, but on macOS 11 and later only, and 16 is the first version that needs macOS 11; the system's
 * version in the header is frozen at 10_15_7 and proves nothing. AVIF 16.4 (16.1 on macOS 13 only; BCD safari).
 */
const safariShows = (agent: string): Shows | undefined => {
  if (!agent.includes('(Macintosh') || !agent.includes('AppleWebKit/')) return undefined
  const safari = versionAfter(agent, ' Version/')
  if (!safari) return NOTHING
  const system = versionAfter(agent, 'Mac OS X ')
  const bigSur = atLeast(safari, 16) || (atLeast(safari, 14) && system !== undefined && atLeast(system, 11))
  return atLeast(safari, 16, 4) ? BOTH : bigSur ? WEBP : NOTHING
}

/** Android's own browser before Chrome: WebP 4.0, alpha and lossless 4.2 (caniuse android). Nothing may follow `Safari/…`. */
const androidShows = (agent: string): Shows | undefined => {
  const android = versionAfter(agent, 'Android ')
  if (android?.major !== 4 || !/ Version\/4\.\d (?:Mobile )?Safari\/[\d.]+$/.test(agent)) return undefined
  return { avif: false, webp: atLeast(android, 4, 2) ? 'still' : 'lossy' }
}

/** Opera before Chromium: WebP 11.5, alpha and lossless 12.1 (BCD opera). */
const prestoShows = (agent: string): Shows | undefined => {
  const presto = agent.startsWith('Opera/9.80') ? versionAfter(agent, ' Version/') : undefined
  if (!presto) return undefined
  return { avif: false, webp: atLeast(presto, 12, 1) ? 'still' : atLeast(presto, 11, 5) ? 'lossy' : 'none' }
}

/** In this order, because later names are also in the headers of earlier browsers (`Chrome/` in Edge's, `Safari/` in all). */
const RULES = [iosShows, edgeShows, chromiumShows, firefoxShows, safariShows, androidShows, prestoShows] as const

const TELEVISIONS =
  /smart-?tv|smarttv|\btv\b|hbbtv|web0s|netcast|googletv|appletv|apple tv|crkey|bravia|viera|roku|vidaa|\baft[a-z]{1,3}\b/i

const deviceOf = (agent: string): DeviceClass => {
  if (TELEVISIONS.test(agent)) return 'tv'
  if (/iPad|Tablet|PlayBook|Kindle|Silk\/(?!.*Mobile)/.test(agent)) return 'tablet'
  if (/iPhone|iPod|Windows Phone|BlackBerry|BB10|Opera M(?:ini|obi)|KAIOS|Symbian|J2ME/i.test(agent)) return 'phone'
  // Google's rule for Android: phones say `Mobile`, tablets do not.
  if (agent.includes('Android')) return /Mobile/.test(agent) ? 'phone' : 'tablet'
  if (/Mobile|Mobi\b/.test(agent)) return 'phone'
  return /Windows NT|Macintosh|X11|CrOS|Linux|Wayland/.test(agent) ? 'desktop' : 'other'
}

/** Pure and bounded, ~9 µs (measured), so callers keep the answer by header. A missing or unknown header proves nothing. */
export const readUserAgent = (header: string | undefined): AgentEvidence => {
  const agent = (header ?? '').slice(0, MAX_CHARS)
  if (agent === '') return { ...NOTHING, device: 'other' }
  if (ROBOTS.test(agent)) return { ...NOTHING, device: 'bot' }
  const device = deviceOf(agent)
  if (NOT_WHAT_IT_SAYS.test(agent)) return { ...NOTHING, device }
  for (const rule of RULES) {
    const shows = rule(agent)
    if (shows) return { ...shows, device }
  }
  return { ...NOTHING, device }
}
