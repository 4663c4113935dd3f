import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createRouter } from '../../src/http/context.ts'
import { createUiRoutes } from '../../src/ui/routes.ts'

const app = createRouter().route('/', createUiRoutes())
const PUBLIC = new URL('../../src/ui/public/', import.meta.url)
const names = readdirSync(PUBLIC)

/** Every address that a page or a module names, as `src`, `href` or `import … from`. */
const namedIn = (text: string, base: string): readonly string[] =>
  [...text.matchAll(/(?:src|href)="(\/[^"]*)"|from '(\.[^']*)'/g)].map(
    ([, absolute, relative]) => absolute ?? new URL(relative ?? '', `http://x${base}`).pathname,
  )

/** The page and all that it loads, and what that loads. */
const closure = async (path: string): Promise<ReadonlyMap<string, number>> => {
  const sizes = new Map<string, number>()
  const queue = [path]
  for (const next of queue) {
    if (sizes.has(next)) continue
    const text = await (await app.request(next)).text()
    sizes.set(next, Buffer.byteLength(text))
    queue.push(...namedIn(text, next).filter((found) => found.startsWith('/ui/')))
  }
  return sizes
}

describe('the web pages', () => {
  it.for([
    ['/', 'text/html; charset=utf-8'],
    ['/docs', 'text/html; charset=utf-8'],
    ['/ui/style.css', 'text/css; charset=utf-8'],
    ['/ui/home.js', 'text/javascript; charset=utf-8'],
    ['/ui/icon.svg', 'image/svg+xml'],
  ] as const)('%s is served as %s, to be revalidated and not sniffed', async ([path, type]) => {
    const response = await app.request(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('Content-Type')).toBe(type)
    expect(response.headers.get('Cache-Control')).toBe('no-cache')
    expect(response.headers.get('X-Content-Type-Options')).toBe('nosniff')
    expect(response.headers.get('ETag')).toMatch(/^"[\w-]{22}"$/)
    expect((await response.arrayBuffer()).byteLength).toBe(Number(response.headers.get('Content-Length')))
  })

  it.for([
    ['the tag itself', (tag: string) => tag, 304],
    ['the tag made weak by a proxy', (tag: string) => `W/${tag}`, 304],
    ['a list that has it', (tag: string) => `"old", ${tag}`, 304],
    ['a star', () => '*', 304],
    ['another tag', () => '"other"', 200],
    ['an empty field', () => '', 200],
  ] as const)('If-None-Match with %s answers as RFC 9110 says', async ([, ask, status]) => {
    const tag = (await app.request('/')).headers.get('ETag') ?? ''
    const response = await app.request('/', { headers: { 'If-None-Match': ask(tag) } })
    expect(response.status).toBe(status)
    expect(response.headers.get('ETag')).toBe(tag)
    if (status === 304) expect(await response.text()).toBe('')
  })

  it('answers HEAD with the headers of GET and no body', async () => {
    const response = await app.request('/docs', { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(Number(response.headers.get('Content-Length'))).toBeGreaterThan(0)
    expect(await response.text()).toBe('')
  })

  it('lets a page load and run nothing but its own files', async () => {
    for (const name of names) {
      const path = name === 'index.html' ? '/' : name === 'docs.html' ? '/docs' : `/ui/${name}`
      expect((await app.request(path)).headers.get('Content-Security-Policy')).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
          "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
      )
    }
  })

  it.for(['/', '/docs'])('%s has no inline script or style, which the policy would block', async (path) => {
    const html = await (await app.request(path)).text()
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/)
  })

  it.for([
    '/ui/',
    '/ui/index.html',
    '/ui/nothing.js',
    '/ui/../routes.ts',
    '/ui/..%2froutes.ts',
    '/ui/%2e%2e/routes.ts',
    '/ui/..%5croutes.ts',
    '/ui//etc/passwd',
    '/ui/home.js%00',
    '/ui/home.js/',
  ])('%s is not found', async (path) => {
    expect((await app.request(path)).status).toBe(404)
  })

  it('every file that a page or a module names is there, and none is left over', async () => {
    const reached = new Map([...(await closure('/')), ...(await closure('/docs'))])
    const served = names.map((name) =>
      name.endsWith('.html') ? (name === 'index.html' ? '/' : '/docs') : `/ui/${name}`,
    )
    expect([...reached.keys()].sort()).toEqual(served.sort())
  })

  it('never writes text from outside as markup', async () => {
    for (const name of names.filter((file) => file.endsWith('.js'))) {
      const source = await (await app.request(`/ui/${name}`)).text()
      expect(source).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/)
    }
  })

  it.for(['/', '/docs'])('%s with all it loads is under 40 KiB before compression', async (path) => {
    const total = [...(await closure(path)).values()].reduce((sum, size) => sum + size, 0)
    expect(total).toBeLessThan(40 * 1024)
  })
})
