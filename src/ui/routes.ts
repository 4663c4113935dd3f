/**
 * The web pages: `/` to try Oriel with one's own photo, `/docs` to browse the API. Plain files, read once at start-up, so
 * that a request is one look-up in a closed set of paths: no path from outside ever meets the file system.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { createRouter, type Router } from '../http/context.ts'

const FOLDER = new URL('./public/', import.meta.url)

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const PAGES: Readonly<Record<string, string>> = { 'index.html': '/', 'docs.html': '/docs' }

/**
 * Own scripts, styles and connections only; nothing inline, nothing framed, no form sent anywhere. `blob:` shows the bytes
 * that were measured, `data:` holds the two tiny pictures that tell whether the browser can show AVIF and WebP.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** Browsers send hints only to an origin whose *page* asked (Client Hints §3.1), and a demo without them would show less. */
const ACCEPT_CH = 'Sec-CH-DPR, Sec-CH-Width, Sec-CH-Viewport-Width, ECT, RTT, Downlink'

interface PageFile {
  readonly path: string
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly etag: string
  readonly headers: Readonly<Record<string, string>>
}

const readPageFile = (name: string): PageFile => {
  const mediaType = MEDIA_TYPES[extname(name)]
  if (!mediaType) throw new Error(`src/ui/public/${name}: no media type is known for this extension`)
  const bytes = new Uint8Array(readFileSync(new URL(name, FOLDER)))
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
  const page = PAGES[name]
  return {
    path: page ?? `/ui/${name}`,
    bytes,
    etag,
    headers: {
      ETag: etag,
      'Cache-Control': 'no-cache',
      'Content-Type': mediaType,
      'X-Content-Type-Options': 'nosniff',
      'Content-Security-Policy': CONTENT_SECURITY_POLICY,
      'Referrer-Policy': 'same-origin',
      ...(page && { 'Cross-Origin-Opener-Policy': 'same-origin', 'Accept-CH': ACCEPT_CH }),
    },
  }
}

/** RFC 9110 §13.1.2: weak comparison against a list, or `*`. */
const isKnown = (ifNoneMatch: string | undefined, etag: string): boolean =>
  (ifNoneMatch ?? '').split(',').some((text) => text.trim() === '*' || text.trim().replace(/^W\//, '') === etag)

/**
 * Serves `/`, `/docs` and `/ui/<file>`; every other path is left to the app. Reads the files synchronously, at start-up.
 * @throws Error when a file of a kind without a media type lies among the pages.
 */
export const createUiRoutes = (): Router => {
  const router = createRouter()
  for (const { path, bytes, etag, headers } of readdirSync(FOLDER).map(readPageFile)) {
    router.get(path, (c) =>
      isKnown(c.req.header('If-None-Match'), etag)
        ? new Response(null, { status: 304, headers })
        : new Response(bytes, { headers: { ...headers, 'Content-Length': String(bytes.byteLength) } }),
    )
  }
  return router
}
