/** The prefix of every URL we hand out: what the operator says, else the address at which this very request reached us. */

/**
 * Host and port as in RFC 9110 §7.2, names and IP literals only: it goes into answers, so nothing else of it is believed. A name
 * may have underscores (containers are called so) and the dot of the root at its end (RFC 3986 §3.2.2).
 */
const AUTHORITY = /^(?:[a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_])?\.?|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i

export interface PublicUrlOptions {
  /** Such as `https://img.example.com`, without a slash at the end. */
  readonly configured: string | undefined
  /** Believe `X-Forwarded-Proto` and `X-Forwarded-Host`: a proxy of ours sets them. */
  readonly trustProxy: boolean
}

/**
 * @returns a function from a header reader to `scheme://host`, or '' (relative URLs) where the request names no sane host.
 */
export const createPublicUrl =
  ({ configured, trustProxy }: PublicUrlOptions) =>
  (header: (name: string) => string | undefined): string => {
    if (configured !== undefined) return configured
    const forwarded = (name: string) => (trustProxy ? header(name)?.split(',').at(-1)?.trim() : undefined)
    const host = forwarded('x-forwarded-host') ?? header('host') ?? ''
    const scheme = forwarded('x-forwarded-proto') === 'https' ? 'https' : 'http'
    return AUTHORITY.test(host) ? `${scheme}://${host}` : ''
  }
