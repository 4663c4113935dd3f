import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { constants, gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { nginxThere, PURGE_KEY, startNginx } from '../engines/nginx.ts'
import { freePort } from '../engines/port.ts'
import { picture } from '../fixtures/write-path.ts'
import { metric } from './metric.ts'
import { json, type Origin, startOrigin } from './origin.ts'

const CHROME = {
  Accept: 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36',
}
const FIREFOX = {
  Accept: 'image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
}
const OLD = { Accept: 'image/png,image/*;q=0.8,*/*;q=0.5', 'User-Agent': 'Mozilla/5.0 (Windows NT 6.1) Firefox/52.0' }

const upstream = (url: string) => [`server ${new URL(url).host} max_fails=3 fail_timeout=1s;`]

interface Told {
  readonly purge?: { readonly tiers: Readonly<Record<string, string>> }
}

/** Origin and edge that know each other: the edge's port is chosen first. */
const startBoth = async (settings: Parameters<typeof startNginx>[0] = {}) => {
  const port = await freePort()
  const address = `http://127.0.0.1:${port}/purge`
  const origin = await startOrigin({
    env: { ORIEL_EDGE_PURGE: address, ORIEL_EDGE_PURGE_KEY: PURGE_KEY, ORIEL_TRUST_PROXY: '1' },
  })
  const edge = await startNginx({ port, origins: upstream(origin.url), ...settings })
  return {
    origin,
    edge,
    address,
    port,
    get: (path: string, headers: Record<string, string> = {}) => fetch(edge.url + path, { headers }),
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]()
      await origin[Symbol.asyncDispose]()
    },
  }
}

const member = (response: Response): string | undefined =>
  /oriel-edge; .*/.exec(response.headers.get('cache-status') ?? '')?.[0]

/** Purges that an edge has not confirmed yet. */
const pendingOf = (origin: Origin): Promise<number> => metric(origin, 'edges_pending')

const body = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer())

describe.runIf(nginxThere)('an edge of nginx in front of an origin', () => {
  it('keeps one answer for each class, whatever headers led to it, and the words for browsers as they are', async () => {
    await using both = await startBoth()
    const { hash } = await both.origin.upload(await picture(1, 400, 300))
    const path = `/i/${hash}/320x.auto`
    const first = await both.get(path, CHROME)
    expect([first.status, member(first)]).toEqual([200, 'oriel-edge; fwd=uri-miss'])
    const again = await both.get(path, FIREFOX)
    expect(member(again)).toBe('oriel-edge; hit')
    expect(await body(again)).toEqual(await body(first))
    for (const name of ['cache-control', 'vary', 'accept-ch', 'etag', 'x-variant-class', 'content-type', 'repr-digest'])
      expect([name, again.headers.get(name)]).toEqual([name, first.headers.get(name)])
    expect(again.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    const old = await both.get(path, OLD)
    expect([old.headers.get('content-type'), member(old)]).toEqual(['image/jpeg', 'oriel-edge; fwd=uri-miss'])
    const known = await both.get(path, { ...CHROME, 'If-None-Match': first.headers.get('etag') ?? '' })
    expect([known.status, member(known)]).toEqual([304, 'oriel-edge; hit'])
    const odd = await both.get(path, { ...CHROME, Accept: 'image/webp;q=0.3,image/avif;q=0.2' })
    expect([odd.headers.get('content-type'), member(odd)]).toEqual(['image/webp', 'oriel-edge; fwd=bypass'])
    for (const headers of [CHROME, OLD, {}]) await both.get(`/i/${hash}/320x.webp`, headers)
    expect(member(await both.get(`/i/${hash}/320x.webp`, OLD))).toBe('oriel-edge; hit')
  })

  it('answers 410 from the moment that a delete returns, and 404 once it is private, for every variant', async () => {
    await using both = await startBoth()
    const outcomes: (string | undefined)[] = []
    for (const [change, status] of [
      ['DELETE', 410],
      ['PATCH', 404],
    ] as const) {
      const { id, hash } = await both.origin.upload(await picture(status, 400, 300))
      const paths = ['320x.auto', '160x.webp', '480x.jpg?q=80', 'original', 'info.json'].map(
        (tail) => `/i/${hash}/${tail}`,
      )
      for (const path of paths) await body(await both.get(path, CHROME))
      for (const path of paths) {
        const kept = await both.get(path, CHROME)
        expect([path, kept.status, member(kept)]).toEqual([path, 200, 'oriel-edge; hit'])
      }
      const answer = await both.origin.api(`/assets/${id}`, {
        method: change,
        ...(change === 'PATCH' && {
          body: JSON.stringify({ visibility: 'private' }),
          headers: { 'Content-Type': 'application/json' },
        }),
      })
      expect(answer.status).toBe(200)
      const outcome = (await json<Told>(answer)).purge?.tiers[both.address]
      outcomes.push(outcome)
      // One that takes longer than 2 s, on a machine that stands still, is told again.
      if (outcome !== 'confirmed') await expect.poll(() => pendingOf(both.origin)).toBe(0)
      for (const path of paths) expect([path, (await both.get(path, CHROME)).status]).toEqual([path, status])
      const back = await (change === 'DELETE'
        ? both.origin.api(`/assets/${id}/restore`, { method: 'POST' })
        : both.origin.api(`/assets/${id}`, {
            method: 'PATCH',
            body: '{"visibility":"public"}',
            headers: { 'Content-Type': 'application/json' },
          }))
      expect(back.status).toBe(200)
      for (const path of paths) {
        // At once from the origin, from the cache as soon as nginx has looked for the purge's file again.
        expect((await both.get(path, CHROME)).status).toBe(200)
        await expect.poll(async () => [path, member(await both.get(path, CHROME))]).toEqual([path, 'oriel-edge; hit'])
      }
    }
    expect(outcomes).toContain('confirmed')
    // Each was hidden and shown.
    await expect.poll(() => metric(both.origin, 'edges_confirmed_total')).toBeGreaterThanOrEqual(4)
  })

  it('keeps a picture again whoever shows it again: also an upload, also of bytes whose hash was removed meanwhile', async () => {
    await using both = await startBoth()
    const path = (hash: string) => `/i/${hash}/320x.webp`
    const gone = async (hash: string) =>
      existsSync(join(both.edge.folder, 'state', 'gone', hash.slice(0, 2), hash)) ? 'gone' : 'kept'
    for (const [seed, end] of ['deleted', 'removed'].entries()) {
      const bytes = await picture(seed, 400, 300)
      const { id, hash } = await both.origin.upload(bytes)
      await body(await both.get(path(hash)))
      await both.origin.api(`/assets/${id}`, { method: 'DELETE' })
      const seen = async () => [await gone(hash), (await both.get(path(hash))).status]
      await expect.poll(seen).toEqual(['gone', 410])
      if (end === 'removed') {
        const cleaned = await both.origin.api(`/internal/assets/${id}/cleanup?force=true`, { method: 'POST' })
        expect(await json(cleaned)).toMatchObject({ original_removed: true })
      }
      // Its bytes again, as another asset.
      const again = await both.origin.upload(bytes)
      expect(again.hash).toBe(hash)
      await expect.poll(seen).toEqual(['kept', 200])
    }
  })

  it('is not told while another asset still shows the picture', async () => {
    await using both = await startBoth()
    const bytes = await picture(7, 400, 300)
    const [one, two] = [
      await both.origin.upload(bytes),
      await both.origin.api('/assets/upload', {
        method: 'POST',
        headers: { 'Content-Type': 'image/jpeg' },
        body: bytes,
      }),
    ]
    const { id } = await json<{ id: string }>(two)
    await body(await both.get(`/i/${one.hash}/320x.webp`))
    expect((await both.origin.api(`/assets/${id}`, { method: 'DELETE' })).status).toBe(204)
    expect(member(await both.get(`/i/${one.hash}/320x.webp`))).toBe('oriel-edge; hit')
  })

  it('hears of a purge that it missed as soon as it is back', async () => {
    const port = await freePort()
    const address = `http://127.0.0.1:${port}/purge`
    await using origin = await startOrigin({ env: { ORIEL_EDGE_PURGE: address, ORIEL_EDGE_PURGE_KEY: PURGE_KEY } })
    const { id, hash } = await origin.upload(await picture(1))
    const answer = await origin.api(`/assets/${id}`, { method: 'DELETE' })
    expect((await json<Told>(answer)).purge).toEqual({ tiers: { [address]: 'unreachable' } })
    expect(await pendingOf(origin)).toBe(1)
    await using edge = await startNginx({ port, origins: upstream(origin.url) })
    await expect.poll(() => pendingOf(origin)).toBe(0)
    expect(await readFile(join(edge.folder, 'state', 'gone', hash.slice(0, 2), hash), 'utf8')).toBe(hash)
  })

  it('lets nobody purge without the key, and nobody at all where it has none', async () => {
    await using both = await startBoth()
    await using keyless = await startNginx({ origins: upstream(both.origin.url), withoutKey: true })
    const put = (url: string, key?: string) =>
      fetch(`${url}/purge/${'0'.repeat(64)}`, {
        method: 'PUT',
        body: 'x',
        ...(key && { headers: { 'X-Oriel-Purge-Key': key } }),
      })
    expect((await put(both.edge.url)).status).toBe(404)
    expect((await put(both.edge.url, 'wrong')).status).toBe(404)
    expect((await put(keyless.url, PURGE_KEY)).status).toBe(404)
    expect((await put(keyless.url)).status).toBe(404)
    expect((await put(both.edge.url, PURGE_KEY)).status).toBe(201)
    expect(
      (await fetch(`${both.edge.url}/purge/${'0'.repeat(64)}`, { headers: { 'X-Oriel-Purge-Key': PURGE_KEY } })).status,
    ).toBe(403)
  })

  it('never keeps what is private, and keeps refusals for seconds only', async () => {
    await using both = await startBoth({ refusedSeconds: 60 })
    await using forgetful = await startNginx({ origins: upstream(both.origin.url), refusedSeconds: 1 })
    const { id, hash } = await both.origin.upload(await picture(3), 'image/jpeg', '?visibility=private')
    const { signed_url: signed } = await json<{ signed_url: string }>(await both.origin.api(`/assets/${id}`))
    const path = signed.slice(signed.indexOf('/i/'))
    for (let turn = 0; turn < 2; turn++) {
      const answer = await both.get(path)
      expect([answer.status, answer.headers.get('cache-control')?.startsWith('private')]).toEqual([200, true])
    }
    const preset = await json<{ url: string }>(await both.origin.api(`/assets/${id}/variants/thumb`))
    const variant = preset.url.slice(preset.url.indexOf('/i/'))
    for (let turn = 0; turn < 2; turn++) expect(member(await both.get(variant))).toBe('oriel-edge; fwd=uri-miss')
    const refused = `/i/${hash}/320x.webp`
    expect((await both.get(refused)).status).toBe(404)
    expect(member(await both.get(refused))).toBe('oriel-edge; hit')
    expect((await fetch(forgetful.url + refused)).status).toBe(404)
    await both.origin.api(`/assets/${id}`, {
      method: 'PATCH',
      body: '{"visibility":"public"}',
      headers: { 'Content-Type': 'application/json' },
    })
    // Past its time a refusal is asked about before it is repeated, however long that time is over.
    await sleep(2_100)
    expect((await fetch(forgetful.url + refused)).status).toBe(200)
  })

  it('cuts ranges out of originals that are larger than a slice', async () => {
    await using both = await startBoth()
    // A comment segment of 60 kB each, so that the file is larger than two slices and still a picture.
    const jpeg = await picture(5)
    const segment = Buffer.concat([Buffer.from([0xff, 0xfe, 0xea, 0x60]), Buffer.alloc(59_998, 7)])
    const bytes = Buffer.concat([jpeg.subarray(0, 2), ...new Array<Buffer>(40).fill(segment), jpeg.subarray(2)])
    const { hash } = await both.origin.upload(bytes)
    const path = `/i/${hash}/original`
    const part = await both.get(path, { Range: 'bytes=1048000-1049999' })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 1048000-1049999/${bytes.length}`])
    expect(await body(part)).toEqual(bytes.subarray(1_048_000, 1_050_000))
    expect(member(await both.get(path, { Range: 'bytes=1048600-1048700' }))).toBe('oriel-edge; hit')
    const whole = await both.get(path)
    expect([whole.status, (await body(whole)).equals(bytes)]).toEqual([200, true])
    const head = await fetch(both.edge.url + path, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(bytes.length)])
  })

  it('passes uploads on as they are, tells the origin who asks, and writes a line of JSON for each picture', async () => {
    await using both = await startBoth()
    const through: Origin['api'] = (path, init = {}) =>
      fetch(both.edge.url + path, {
        ...init,
        headers: { Authorization: 'Bearer e2e-admin-key-0123456789', ...init.headers },
      })
    const made = await through('/assets/upload', {
      method: 'POST',
      headers: { 'Content-Type': 'image/jpeg' },
      body: await picture(9, 3000, 2000),
    })
    expect(made.status).toBe(201)
    const { hash, img } = await json<{ hash: string; img: string }>(made)
    expect(img).toContain(`src="${both.edge.url}/i/`)
    await body(await both.get(`/i/${hash}/320x.auto?fit=cover&sig=secret`, CHROME))
    await body(await both.get(`/i/${hash}/320x.auto`, CHROME))
    // Two workers, and each writes when it has gathered enough: in the order of what they say.
    const told = await eventLines(join(both.edge.folder, 'events.log.gz'), 2)
    const lines = told.toSorted((one, two) => Number(two.status) - Number(one.status))
    expect(lines.map(({ hash: of, status, edge }) => ({ of, status, edge }))).toEqual([
      { of: hash, status: 403, edge: 'MISS' },
      { of: hash, status: 200, edge: 'MISS' },
    ])
    expect(lines[1]).toMatchObject({
      path: `/i/${hash}/320x.auto`,
      class: 'avif-fast',
      client: '127.0.0.1',
      user_agent: CHROME['User-Agent'],
    })
    expect(JSON.stringify(lines)).not.toContain('secret')
  })
})

/** Waits until nginx has flushed; its file has no end while it runs. */
const eventLines = async (path: string, count: number): Promise<readonly Record<string, unknown>[]> => {
  for (let tries = 0; tries < 1_200; tries++) {
    const file = await readFile(path).catch(() => Buffer.alloc(0))
    const text = file.length > 0 ? gunzipSync(file, { finishFlush: constants.Z_SYNC_FLUSH }).toString() : ''
    const lines = text.split('\n').filter(Boolean)
    if (lines.length >= count) return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    await sleep(50)
  }
  throw new Error(`fewer than ${count} lines in ${path}`)
}

const HASH = 'ab'.repeat(32)

/** An origin that answers as it is told, and counts. */
const startStub = async (answer: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>) => {
  let asked = 0
  const server = createServer((request, response) => {
    asked += 1
    void answer(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { url: `http://127.0.0.1:${port}`, asked: () => asked, close, [Symbol.asyncDispose]: close }
}

const FINAL = {
  'Cache-Control': 'public, max-age=31536000, immutable',
  'Content-Type': 'image/webp',
  Vary: 'Accept, User-Agent',
}

describe.runIf(nginxThere)('an edge of nginx under load and without its origin', () => {
  it('asks once for what fifty ask for at the same time', async () => {
    await using stub = await startStub(async (_, response) => {
      await sleep(300)
      response.writeHead(200, FINAL).end('picture')
    })
    await using edge = await startNginx({ origins: upstream(stub.url) })
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, turn) =>
        fetch(`${edge.url}/i/${HASH}/320x.auto`, { headers: turn % 2 ? CHROME : FIREFOX }).then(async (response) => [
          response.status,
          await response.text(),
        ]),
      ),
    )
    expect(answers).toEqual(Array.from({ length: 50 }, () => [200, 'picture']))
    expect(stub.asked()).toBe(1)
  })

  it('answers stale while it asks again, and while there is nobody to ask', async () => {
    let turn = 0
    await using stub = await startStub((_, response) => {
      turn += 1
      const control = 'max-age=1, stale-while-revalidate=60, stale-if-error=600'
      response.writeHead(200, { ...FINAL, 'CDN-Cache-Control': control }).end(`picture ${turn}`)
    })
    await using edge = await startNginx({ origins: upstream(stub.url) })
    const get = () =>
      fetch(`${edge.url}/i/${HASH}/320x.webp`).then(async (response) => [
        response.status,
        await response.text(),
        member(response),
      ])
    expect(await get()).toEqual([200, 'picture 1', 'oriel-edge; fwd=uri-miss'])
    await sleep(2_100)
    expect(await get()).toEqual([200, 'picture 1', 'oriel-edge; hit; detail=stale'])
    await expect.poll(() => turn).toBe(2)
    await stub.close()
    await sleep(2_100)
    const [status, text, told] = await get()
    expect([status, String(text).startsWith('picture'), String(told).includes('stale')]).toEqual([200, true, true])
    expect((await fetch(`${edge.url}/i/${HASH}/640x.webp`)).status).toBe(502)
  })

  it('asks another origin when one is down or busy', async () => {
    await using busy = await startStub((_, response) => void response.writeHead(503, { 'Retry-After': '1' }).end())
    await using well = await startStub((_, response) => void response.writeHead(200, FINAL).end('picture'))
    const gone = await freePort()
    await using edge = await startNginx({
      origins: [...upstream(busy.url), ...upstream(well.url), `server 127.0.0.1:${gone} max_fails=3 fail_timeout=1s;`],
    })
    for (let width = 1; width <= 12; width++)
      expect((await fetch(`${edge.url}/i/${HASH}/${width * 16}x.webp`)).status).toBe(200)
  })

  it('passes hints on, and each header as the key was read from it', async () => {
    const seen: IncomingMessage['headers'][] = []
    await using stub = await startStub((request, response) => {
      seen.push(request.headers)
      response.writeHead(200, FINAL).end('picture')
    })
    await using edge = await startNginx({ origins: upstream(stub.url) })
    const hints = {
      'Sec-CH-DPR': '2',
      'Sec-CH-Viewport-Width': '412',
      'Sec-CH-UA-Mobile': '?1',
      'Save-Data': 'on',
      ECT: '3g',
    }
    await fetch(`${edge.url}/i/${HASH}/autox.auto`, {
      headers: { ...CHROME, ...hints, 'X-Forwarded-For': '203.0.113.9' },
    })
    for (const [name, value] of Object.entries(hints)) expect(seen[0]?.[name.toLowerCase()]).toBe(value)
    expect(seen[0]?.['x-forwarded-for']).toBe('203.0.113.9, 127.0.0.1')
  })
})
