import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { get } from 'node:http'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AssetJson, json, type Origin, startOrigin } from './origin.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))

let origin: Origin
let asset: AssetJson

beforeAll(async () => {
  origin = await startOrigin()
  asset = await origin.upload(photo)
})
afterAll(() => origin[Symbol.asyncDispose]())

const image = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${origin.url}/i/${asset.hash}/${path}`, { headers, method })

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('base64')

describe('a variant', () => {
  it('comes with every header of the contract', async () => {
    const response = await image('800x600.webp')
    const bytes = new Uint8Array(await response.arrayBuffer())
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'image/webp',
      'content-length': String(bytes.length),
      'cache-control': 'public, max-age=31536000, immutable',
      'repr-digest': `sha-256=:${sha256(bytes)}:`,
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'cross-origin',
      'timing-allow-origin': '*',
      'access-control-allow-origin': '*',
      'x-variant-class': 'webp',
    })
    expect(response.headers.get('etag')).toMatch(/^"[^"]+"$/)
    expect(response.headers.get('cache-status')).toContain('fwd=miss')
    expect(response.headers.get('server-timing')).toContain('render;dur=')
    expect(response.headers.get('vary')).toBeNull()
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'webp', width: 800, height: 450 })
  })

  it('is the same bytes and headers from memory, but for tier and time', async () => {
    const [cold, hot] = [await image('640x.jpg'), await image('640x.jpg')]
    const { 'cache-status': _a, 'server-timing': _b, date: _c, ...coldHeaders } = Object.fromEntries(cold.headers)
    const { 'cache-status': status, 'server-timing': timing, date: _d, ...hotHeaders } = Object.fromEntries(hot.headers)
    expect(hotHeaders).toEqual(coldHeaders)
    expect(status).toBe('oriel-memory; hit')
    expect(timing).toBeDefined()
    expect(await hot.arrayBuffer()).toEqual(await cold.arrayBuffer())
  })

  it('is not sent again to whom has it, hot or cold', async () => {
    const etag = (await image('320x.jpg')).headers.get('etag') ?? ''
    const again = await image('320x.jpg', { 'If-None-Match': `"other", W/${etag}` })
    expect(again.status).toBe(304)
    expect(again.headers.get('etag')).toBe(etag)
    expect(again.headers.get('cache-control')).toContain('immutable')
    expect((await image('320x.jpg', { 'If-None-Match': '"other"' })).status).toBe(200)
  })

  it('is refused to whom wants other bytes (If-Match), hot or cold, before what If-None-Match says', async () => {
    const etag = (await image('384x.jpg')).headers.get('etag') ?? ''
    for (const path of ['384x.jpg', '360x.jpg', 'original', 'info.json']) {
      const refused = await image(path, { 'If-Match': '"other"', 'If-None-Match': '*' })
      expect([path, refused.status, refused.headers.get('cache-control')]).toEqual([path, 412, 'no-store'])
      expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('"other\\"') })
      expect((await image(path, { 'If-Match': '*' })).status).toBe(200)
    }
    expect((await image('384x.jpg', { 'If-Match': `"other", ${etag}` })).status).toBe(200)
    expect((await image('384x.jpg', { 'If-Match': etag, 'If-None-Match': etag })).status).toBe(304)
    const original = (await image('original', {}, 'HEAD')).headers.get('etag') ?? ''
    expect((await image('original', { 'If-Match': original, Range: 'bytes=0-9' })).status).toBe(206)
  })

  it('has the headers of GET on HEAD', async () => {
    const get = await image('480x.png')
    const head = await image('480x.png', {}, 'HEAD')
    expect(head.headers.get('content-length')).toBe(get.headers.get('content-length'))
    expect(head.headers.get('etag')).toBe(get.headers.get('etag'))
    expect((await head.arrayBuffer()).byteLength).toBe(0)
  })

  it('of an unsigned width off the ladder snaps up, so that neighbours share one variant', async () => {
    const etags = await Promise.all(
      [801, 810, 828].map(async (width) => (await image(`${width}x.webp`)).headers.get('etag')),
    )
    expect(new Set(etags).size).toBe(1)
  })

  it('is rendered once for a hundred who ask at once', async () => {
    const rendered = async () =>
      Number(/^oriel_renderers_rendered_total (\d+)$/m.exec(await (await origin.api('/metrics')).text())?.[1])
    const before = await rendered()
    const answers = await Promise.all(Array.from({ length: 100 }, () => image('540x.webp')))
    expect(answers.every((answer) => answer.status === 200)).toBe(true)
    expect(await rendered()).toBe(before + 1)
  })
})

describe('negotiation', () => {
  const chrome = { Accept: 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8' }

  it.for([
    [chrome.Accept, 'image/avif'],
    ['image/webp,*/*', 'image/webp'],
    ['image/avif;q=0,image/webp,*/*', 'image/webp'],
    ['image/png,image/*;q=0.8,*/*;q=0.5', 'image/jpeg'],
    ['*/*', 'image/jpeg'],
  ] as const)('answers Accept: %s with %s', async ([accept, type]) => {
    const response = await image('320x.auto', { Accept: accept, 'User-Agent': 'test' })
    expect(response.headers.get('content-type')).toBe(type)
    expect(response.headers.get('vary')).toBe('Accept, User-Agent, Save-Data, ECT, RTT, Downlink')
    expect(response.headers.get('accept-ch')).toContain('Sec-CH-DPR')
  })

  it('chooses a width from the hints, and names the class', async () => {
    const response = await image('autox.auto', { ...chrome, 'Sec-CH-Width': '500', 'Sec-CH-DPR': '2' })
    expect(response.headers.get('x-variant-class')).toBe('avif-w640-d2-fast')
    expect(await sharp(new Uint8Array(await response.arrayBuffer())).metadata()).toMatchObject({ width: 640 })
  })

  it('sends fewer bytes to whom wants to save data', async () => {
    const plain = await image('800x.auto', chrome)
    const saving = await image('800x.auto', { ...chrome, 'Save-Data': 'on' })
    expect(Number(saving.headers.get('content-length'))).toBeLessThan(Number(plain.headers.get('content-length')))
    expect(saving.headers.get('vary')).toBe(plain.headers.get('vary'))
    expect(saving.headers.get('etag')).not.toBe(plain.headers.get('etag'))
  })
})

describe('the original', () => {
  it('comes back byte for byte, and in ranges', async () => {
    const whole = await image('original')
    expect(new Uint8Array(await whole.arrayBuffer())).toEqual(photo)
    expect(whole.headers.get('content-security-policy')).toContain('sandbox')
    const part = await image('original', { Range: 'bytes=100-199' })
    expect(part.status).toBe(206)
    expect(part.headers.get('content-range')).toBe(`bytes 100-199/${photo.length}`)
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(photo.slice(100, 200))
    const past = await image('original', { Range: `bytes=${photo.length}-` })
    expect(past.status).toBe(416)
    expect(past.headers.get('content-range')).toBe(`bytes */${photo.length}`)
  })

  it('has its facts in info.json', async () => {
    const info = await (await image('info.json')).json()
    expect(info).toMatchObject({ hash: asset.hash, width: 2400, height: 1350, format: 'jpeg', bytes: photo.length })
  })
})

describe('refusals', () => {
  it.for([
    ['800x600.bmp', 400, 'bmp'],
    ['0x0.webp', 400, '0x0'],
    ['9000x.webp', 400, '9000'],
    ['800x.webp?blur=1000', 400, '1000'],
    ['800x.webp?speed=9', 400, 'speed'],
    ['@nothing.webp', 400, 'nothing'],
    ['800x.webp?sig=AAAA&kid=k1', 403, 'signature'],
    ['800x.webp/more', 404, 'nothing at'],
  ] as const)('%s is %d and names what was wrong', async ([path, status, named]) => {
    const response = await image(path)
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    const problem = await json<{ detail: string }>(response)
    expect(problem).toMatchObject({ status })
    expect(problem.detail).toContain(named)
  })

  it('an unknown hash is 404, a malformed one 400, another method 405', async () => {
    expect((await fetch(`${origin.url}/i/${'0'.repeat(64)}/800x.webp`)).status).toBe(404)
    expect((await fetch(`${origin.url}/i/xyz/800x.webp`)).status).toBe(400)
    const other = await image('800x.webp', {}, 'DELETE')
    expect(other.status).toBe(405)
    expect(other.headers.get('allow')).toBe('GET, HEAD, OPTIONS')
    expect(other.headers.get('content-type')).toBe('application/problem+json')
  })
})

describe('what clients and proxies send', () => {
  it('a percent-encoded preset and an absolute-form target mean the same', async () => {
    expect((await image('%40thumb.webp')).status).toBe(200)
    const { hostname, port } = new URL(origin.url)
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const path = `http://img.example/i/${asset.hash}/@thumb.webp`
      get({ hostname, port, path }, (response) => resolve(response.resume().statusCode)).on('error', reject)
    })
    expect(status).toBe(200)
  })

  it('If-None-Match: * is answered 304 only where there is a picture', async () => {
    expect((await image('240x.webp', { 'If-None-Match': '*' })).status).toBe(304)
    // Whole by its header and its end, not between: found out when it is rendered.
    const noise = {
      create: {
        width: 300,
        height: 300,
        channels: 3 as const,
        noise: { type: 'gaussian' as const, mean: 128, sigma: 50 },
      },
    }
    const png = new Uint8Array(
      await sharp({ create: { ...noise.create, background: 'red' } })
        .png()
        .toBuffer(),
    )
    png.fill(0, png.length / 2, png.length / 2 + 500)
    const broken = await origin.upload(png, 'image/png')
    const response = await fetch(`${origin.url}/i/${broken.hash}/240x.webp`, { headers: { 'If-None-Match': '*' } })
    expect(response.status).toBe(422)
  })

  it('a stranger may not have a picture blown up without bound', async () => {
    expect((await image('8192x8192.png?enlarge=1&fit=fill')).status).toBe(403)
  })
})

describe('private and deleted assets', () => {
  const upload = async (colour: string, query: string): Promise<AssetJson> => {
    const png = await sharp({ create: { width: 64, height: 64, channels: 3, background: colour } })
      .png()
      .toBuffer()
    return origin.upload(new Uint8Array(png), 'image/png', query)
  }
  const get = (path: string) => fetch(new URL(path, origin.url))

  it('a private one is 404 without a signature, and served with the signed URL of its owner', async () => {
    const { id, hash } = await upload('#123456', '?visibility=private')
    expect((await get(`/i/${hash}/64x.png`)).status).toBe(404)
    expect((await get(`/i/${hash}/original`)).status).toBe(404)
    const { signed_url: signed } = await json<{ signed_url: string }>(await origin.api(`/assets/${id}`))
    const served = await get(signed)
    expect(served.status).toBe(200)
    expect(served.headers.get('cache-control')).toMatch(/^private, max-age=\d{1,3}, immutable$/)
    const other = new URL(signed, origin.url)
    other.pathname = other.pathname.replace(/[^/]+$/, '32x.png')
    expect((await fetch(other)).status).toBe(403)
  })

  it('lasts as long as its signature where it comes from memory, counted anew and said once', async () => {
    const { id } = await upload('#124578', '?visibility=private')
    const { urls } = await json<{ urls: { webp: string } }>(await origin.api(`/assets/${id}`))
    const first = await get(urls.webp)
    expect(first.headers.get('cache-status')).toContain('fwd=miss')
    for (const [headers, status] of [
      [{}, 200],
      [{ 'If-None-Match': first.headers.get('etag') ?? '' }, 304],
    ] as const) {
      const served = await fetch(new URL(urls.webp, origin.url), { headers })
      expect([served.status, served.headers.get('cache-status')]).toEqual([status, 'oriel-memory; hit'])
      expect(served.headers.get('cache-control')).toMatch(/^private, max-age=\d{1,3}, immutable$/)
    }
  })

  it('made private, it is hidden from the moment the call returns', async () => {
    const { id, hash } = await upload('#654321', '')
    for (let i = 0; i < 3; i += 1) expect((await get(`/i/${hash}/64x.png`)).status).toBe(200)
    await origin.api(`/assets/${id}`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ visibility: 'private' }),
    })
    expect((await get(`/i/${hash}/64x.png`)).status).toBe(404)
  })

  it('deleted, it is 410 at once also where it was hot; restored, it is back', async () => {
    const { id, hash } = await upload('#abcdef', '')
    for (let i = 0; i < 3; i += 1) expect((await get(`/i/${hash}/64x.png`)).status).toBe(200)
    expect((await origin.api(`/assets/${id}`, { method: 'DELETE' })).status).toBe(204)
    expect((await get(`/i/${hash}/64x.png`)).status).toBe(410)
    expect((await get(`/i/${hash}/original`)).status).toBe(410)
    expect((await origin.api(`/assets/${id}/restore`, { method: 'POST' })).status).toBe(200)
    expect((await get(`/i/${hash}/64x.png`)).status).toBe(200)
  })

  it('with another live public asset of the same bytes, the hash stays served', async () => {
    const [first, second] = [await upload('#a1b2c3', ''), await upload('#a1b2c3', '')]
    expect(second).toMatchObject({ hash: first.hash, deduplicated: true })
    await origin.api(`/assets/${first.id}`, { method: 'DELETE' })
    expect((await get(`/i/${first.hash}/64x.png`)).status).toBe(200)
  })
})
