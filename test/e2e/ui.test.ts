import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, type Origin, startOrigin } from './origin.ts'

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)
const PHOTO = fileURLToPath(new URL('../fixtures/photo.jpg', import.meta.url))
/** No sandbox in a container run by root; nothing that would leave the machine. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

// In continuous integration a missing browser is a fault of the machine, and the tests below say so by failing.
const skipped = !CHROMIUM && process.env.CI !== 'true'
if (skipped) console.log('left out: the web pages in a real browser (no Chromium found)')

describe.skipIf(skipped)('the web pages in a browser', () => {
  let origin: Origin
  let browser: Browser
  const faults: string[] = []

  beforeAll(async () => {
    origin = await startOrigin()
    browser = await chromium.launch({ executablePath: CHROMIUM ?? 'chromium', args: QUIET, timeout: 100_000 })
  })
  afterAll(async () => {
    await browser?.close()
    await origin?.[Symbol.asyncDispose]()
  })

  /** A page that notes what a visitor's console would show, and every request that leaves this origin. */
  const open = async (path: string, width = 1280): Promise<Page> => {
    const page = await browser.newPage({ viewport: { width, height: 800 } })
    // Short of a test's own limit, so that it is said what was waited for.
    page.setDefaultTimeout(100_000)
    faults.length = 0
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()))
    page.on('request', (request) => {
      if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(origin.url)) faults.push(request.url())
    })
    await page.goto(origin.url + path)
    return page
  }
  const openWithPhoto = async (width?: number): Promise<Page> => {
    const page = await open(`/#key=${ADMIN_KEY}`, width)
    await page.setInputFiles('#file', PHOTO)
    await page.locator('.count', { hasText: /^At \d+ px/ }).waitFor()
    return page
  }

  it('takes the key out of the address, uploads the photo, and fills every cell of the table', async () => {
    const page = await openWithPhoto()
    expect(page.url()).toBe(`${origin.url}/`)
    expect(await page.locator('.cell.failed').allTextContents()).toEqual([])
    const cells = await page.locator('.cell').count()
    expect(cells).toBeGreaterThanOrEqual(4)
    expect(await page.locator('.cell.done').count()).toBe(cells)
    const own = await page.locator('tbody tr:first-child .cell').first().textContent()
    expect(own).toMatch(/B[\d.]+ %(avif|webp)[\d.]+ → [\d.]+ ms/)
    expect(await page.locator('pre').first().textContent()).toContain('srcset=')
    expect(faults).toEqual([])
    await page.close()
  })

  it('puts a clicked variant over the original, with a line that the arrow keys move', async () => {
    const page = await openWithPhoto()
    await page.locator('tbody tr:first-child .cell').nth(2).click()
    expect(await page.locator('.tag.right').textContent()).toMatch(/^webp /)
    expect(await page.locator('.headers').textContent()).toMatch(/Content-Typeimage\/webp/)
    const slider = page.locator('.stage input')
    await slider.focus()
    await slider.press('ArrowLeft')
    expect(await page.locator('.stage').getAttribute('style')).toContain('--cut: 49%')
    expect(faults).toEqual([])
    await page.close()
  })

  it('says what is wrong with a key and with a file in the words of the server', async () => {
    const page = await open('/#key=not-a-key-of-this-server')
    await page.locator('#error', { hasText: '401' }).waitFor()
    await page.fill('#key', ADMIN_KEY)
    await page.locator('#key').blur()
    await page.setInputFiles('#file', {
      name: 'a.png',
      mimeType: 'image/png',
      buffer: Buffer.from('no picture at all'),
    })
    await page.locator('#error', { hasText: '415' }).waitFor()
    expect(await page.locator('#error').textContent()).toMatch(/.{20,}/)
    await page.close()
  })

  it('deletes an upload and brings it back', async () => {
    const page = await openWithPhoto()
    const entry = page.locator('#shelf li').first()
    await entry.getByRole('button', { name: /^Delete/ }).click()
    await entry.getByRole('button', { name: /^Restore/ }).click()
    await entry.getByRole('button', { name: /^Delete/ }).waitFor()
    expect(faults).toEqual([])
    await page.close()
  })

  it('lists every operation of the API document, filters them, and opens the one that the address names', async () => {
    const spec = (await (await fetch(`${origin.url}/openapi.json`)).json()) as { paths: Record<string, object> }
    const METHODS = new Set(['get', 'head', 'post', 'put', 'patch', 'delete', 'options'])
    const operations = Object.values(spec.paths).flatMap((item) => Object.keys(item).filter((key) => METHODS.has(key)))
    const page = await open('/docs')
    await page.locator('.operation').first().waitFor()
    expect(await page.locator('.operation').count()).toBe(operations.length)
    for (const summary of await page.locator('.operation > summary').all()) await summary.click()
    // A browser tells of an opened <details> a moment after the click, and only then is it filled.
    await expect
      .poll(() => page.locator('.inside pre', { hasText: 'curl' }).count())
      .toBeGreaterThanOrEqual(operations.length)
    expect(await page.locator('#operations').textContent()).not.toContain('[object')
    await page.fill('#filter', 'upload')
    const left = await page.locator('.operation:visible').count()
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThan(operations.length)
    const id = await page.locator('.operation:visible').first().getAttribute('id')
    const linked = await open(`/docs#${id}`)
    await linked.locator('.operation[open]').waitFor()
    expect(await linked.locator('.operation[open]').getAttribute('id')).toBe(id)
    expect(faults).toEqual([])
    await linked.close()
    await page.close()
  })

  it('fits a screen of 360 pixels without scrolling sideways', async () => {
    const page = await openWithPhoto(360)
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    await page.goto(`${origin.url}/docs`)
    await page.locator('.operation > summary').first().click()
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    expect(faults).toEqual([])
    await page.close()
  })
})
