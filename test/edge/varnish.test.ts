import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { edgeKey } from '../../edge/generate/key.ts'
import { PURGE_KEY } from '../engines/nginx.ts'
import { startVarnish, varnishThere } from '../engines/varnish.ts'
import { agree, get } from './agree.ts'
import { realSets, SOME_HASH } from './header-sets.ts'

describe.runIf(varnishThere)('Varnish’s subroutines', () => {
  it('make the same key as the pure function of the same thousand header sets, at Varnish’s own limits', async () => {
    const origin = createServer((_, response) => response.setHeader('Cache-Control', 'no-store').end())
    await once(origin.listen(0, '127.0.0.1'), 'listening')
    const { port } = origin.address() as AddressInfo
    await using edge = await startVarnish({
      origins: [{ host: '127.0.0.1', port }],
      extra: 'sub vcl_deliver { set resp.http.x-key = "[" + cookie.get("key") + "]"; }\n',
    })
    await agree(edge.url)
    // Beside these come Host, Connection, and what Varnish adds: 64 less the five that the first line takes.
    const most = realSets.toSorted((one, two) => Object.keys(two).length - Object.keys(one).length)[0] ?? {}
    const more = Object.fromEntries(
      Array.from({ length: 55 - Object.keys(most).length }, (_, at) => [`x-more-${at}`, 'v'.repeat(200)]),
    )
    const path = `/i/${SOME_HASH}/autox.auto?q=auto&dpr=auto`
    const { status, headers } = await get(edge.url + path, { ...more, ...most })
    expect([status, headers['x-key']]).toEqual([200, `[${edgeKey(path, (name) => most[name])}]`])
    origin.closeAllConnections()
    origin.close()
  })
})

describe.runIf(varnishThere)('an edge of Varnish', () => {
  it('keeps one answer for each class, tells browsers what the origin said, and forgets a hash when it is told', async () => {
    const asked: string[] = []
    const origin = createServer((request, response) => {
      if (request.url === '/healthz') return void response.end()
      asked.push(request.url ?? '')
      const gone = asked.length > 4
      response.writeHead(gone ? 410 : 200, {
        'Cache-Control': gone ? 'no-store' : 'public, max-age=31536000, immutable',
        Vary: 'Accept, User-Agent',
        'Cache-Status': 'oriel-memory; hit',
      })
      response.end(`answer ${asked.length}`)
    })
    await once(origin.listen(0, '127.0.0.1'), 'listening')
    const { port } = origin.address() as AddressInfo
    await using edge = await startVarnish({ origins: [{ host: '127.0.0.1', port }] })
    const get = async (tail: string, accept: string) => {
      const response = await fetch(`${edge.url}/i/${SOME_HASH}/${tail}`, { headers: { Accept: accept } })
      return [await response.text(), response.headers.get('cache-status'), response.headers.get('vary')]
    }
    const miss = 'oriel-memory; hit, oriel-edge; fwd=uri-miss'
    const hit = 'oriel-memory; hit, oriel-edge; hit'
    const vary = 'Accept, User-Agent'
    expect(await get('320x.auto', 'image/avif,image/webp,*/*')).toEqual(['answer 1', miss, vary])
    expect(await get('320x.auto', 'image/webp,image/avif,image/*,*/*;q=0.5')).toEqual(['answer 1', hit, vary])
    expect(await get('320x.auto', 'image/webp,*/*')).toEqual(['answer 2', miss, vary])
    expect(await get('320x.webp', '*/*')).toEqual(['answer 3', miss, vary])
    expect(await get('320x.auto', 'image/webp;q=0.3,*/*')).toEqual(['answer 4', miss, vary])
    const purge = (key: string) =>
      fetch(`${edge.url}/purge/${SOME_HASH}`, { method: 'PUT', body: SOME_HASH, headers: { 'X-Oriel-Purge-Key': key } })
    expect((await purge('wrong')).status).toBe(404)
    expect(await get('320x.webp', '*/*')).toEqual(['answer 3', hit, vary])
    expect((await purge(PURGE_KEY)).status).toBe(204)
    for (const tail of ['320x.auto', '320x.webp'])
      expect(
        (await fetch(`${edge.url}/i/${SOME_HASH}/${tail}`, { headers: { Accept: 'image/webp,*/*' } })).status,
      ).toBe(410)
    origin.closeAllConnections()
    origin.close()
  })
})
