/** What an event keeps of who asked and from where: hosts, truncated addresses, country codes. Pure; nothing here throws. */
import { isIPv4, isIPv6 } from 'node:net'

/** Longest DNS name in text is 253 characters (RFC 1035 §2.3.4); the rest is room for credentials and a port. */
const MAX_AUTHORITY_CHARS = 320
/** The longest scheme seen in referrers is `android-app`; what is much longer is not a scheme. */
const MAX_SCHEME_CHARS = 16

/**
 * What stands between `://` and the first slash of a referrer, for `hostOf`; '' where there is nothing of the sort.
 * Only the host is ever kept: paths and queries of referring pages are other people's private data.
 */
export const referrerAuthority = (referrer: string): string => {
  const scheme = referrer.indexOf('://')
  if (scheme < 1 || scheme > MAX_SCHEME_CHARS) return ''
  const slash = referrer.indexOf('/', scheme + 3)
  const end = slash < 0 ? referrer.length : slash
  return end - scheme - 3 > MAX_AUTHORITY_CHARS ? '' : referrer.slice(scheme + 3, end)
}

/** Lower-case ASCII host (WHATWG URL: internationalised names in punycode) of an authority; '' when it is not one. */
export const hostOf = (authority: string): string => {
  const url = `http://${authority}`
  return authority !== '' && URL.canParse(url) ? new URL(url).hostname : ''
}

/** The longest text of an IPv6 address has 45 characters; a zone may follow. */
const MAX_ADDRESS_CHARS = 64

const isLetter = (code: number): boolean => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39

/** A letter and a letter or digit, in upper case (ISO 3166-1 alpha-2 and the edges' own `XX`, `T1`); '' for anything else. */
export const countryCode = (country: string): string => {
  if (country.length !== 2 || !isLetter(country.charCodeAt(0))) return ''
  const second = country.charCodeAt(1)
  return isLetter(second) || isDigit(second) ? country.toUpperCase() : ''
}

/**
 * An address cut so that it names a neighbourhood, not a person: IPv4 to /24, IPv6 to /48 (the size of one site's
 * allocation, RFC 6177). IPv4 inside IPv6 (`::ffff:192.0.2.1`) counts as IPv4. '' for what is not an address.
 */
export const clientPrefix = (address: string): string => {
  if (address.length > MAX_ADDRESS_CHARS) return ''
  if (isIPv4(address)) return `${address.slice(0, address.lastIndexOf('.'))}.0/24`
  const bare = address.split('%', 1)[0] ?? ''
  if (!isIPv6(bare)) return ''
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1]
  if (mapped !== undefined) return clientPrefix(mapped)
  // URL writes an address in its one canonical form (RFC 5952), in which a dotted quad has become two groups.
  const [head = '', tail = ''] = new URL(`http://[${bare}]`).hostname.slice(1, -1).split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  return `${[...before, ...zeros, ...after].slice(0, 3).join(':')}::/48`
}
