import vm from 'node:vm'
import { describe, expect, it } from 'vitest'
import { renderCloudFrontFunction, renderCloudflareWorker } from '../../edge/generate/javascript.ts'
import { edgeKey } from '../../edge/generate/key.ts'
import { type HeaderSet, realSets, SOME_HASH, tails, thousandSets } from './header-sets.ts'

const asked = thousandSets.flatMap((set, at) =>
  [0, 7, 14].map((shift) => ({ set, path: `/i/${SOME_HASH}/${tails[(at + shift) % tails.length]}` })),
)

interface Item {
  readonly value: string
}

describe('the CloudFront function', () => {
  const source = renderCloudFrontFunction()
  const context = vm.createContext({})
  vm.runInContext(`${source}\nglobalThis.run = handler`, context)
  const run = context.run as (event: unknown) => { headers: Record<string, Item | undefined>; uri: string }
  const event = (path: string, set: HeaderSet) => {
    const [uri = '', query = ''] = path.split('?')
    const pairs = query
      .split('&')
      .filter(Boolean)
      .map((pair) => pair.split('='))
    return {
      context: { requestId: 'request-1' },
      request: {
        method: 'GET',
        uri,
        querystring: Object.fromEntries(pairs.map(([name = '', value = '']) => [name, { value }])),
        headers: Object.fromEntries(Object.entries(set).map(([name, value]) => [name, { value }])),
      },
    }
  }

  it('makes the same key of the same thousand header sets', () => {
    const wrong = asked.filter(({ set, path }) => {
      const said = run(event(path, set)).headers['x-oriel-key']?.value
      return said !== (edgeKey(path, (name) => set[name]) ?? 'pass request-1').replace(/^$/, '-')
    })
    expect(wrong.slice(0, 5)).toEqual([])
  })

  it('joins a header that was sent twice, as the origin does', () => {
    const path = `/i/${SOME_HASH}/800x.auto`
    const request = event(path, {})
    const twice = { value: 'image/avif', multiValue: [{ value: 'image/avif' }, { value: 'image/webp,*/*;q=0.8' }] }
    const said = run({ ...request, request: { ...request.request, headers: { accept: twice } } })
    expect(said.headers['x-oriel-key']?.value).toBe('aw-fast')
  })

  it('is within what CloudFront takes: 10 KB, and no syntax that runtime 2.0 lacks', () => {
    expect(Buffer.byteLength(source)).toBeLessThan(10 * 1024)
    expect(source).not.toMatch(/\(\?<|\?\.|\?\?|\bclass\b|\bimport\b/)
  })
})

interface Worker {
  fetch(
    request: Request,
    env: { ORIGIN: string },
    context: { waitUntil(work: Promise<unknown>): void },
  ): Promise<Response>
}

/** A Worker with a cache of its own and an origin that answers with what it was asked. */
const startWorker = (answer: (url: string, headers: Headers) => Response) => {
  const stored = new Map<string, Response>()
  const fetched: string[] = []
  const works: Promise<unknown>[] = []
  const context = vm.createContext({
    URL,
    Request,
    Response,
    Headers,
    encodeURIComponent,
    caches: {
      default: {
        match: async (request: Request) => stored.get(request.url)?.clone(),
        put: async (request: Request, response: Response) => void stored.set(request.url, response),
      },
    },
    fetch: async (url: string, init: Request | RequestInit) => {
      fetched.push(url)
      return answer(url, new Headers(init.headers))
    },
  })
  vm.runInContext(renderCloudflareWorker().replace('export default', 'globalThis.worker ='), context)
  const worker = context.worker as Worker
  return {
    stored,
    fetched,
    ask: async (path: string, set: HeaderSet = {}, method = 'GET') => {
      const request = new Request(`https://img.test${path}`, { method, headers: set })
      const response = await worker.fetch(
        request,
        { ORIGIN: 'http://origin' },
        { waitUntil: (work) => void works.push(work) },
      )
      await Promise.all(works)
      return response
    },
  }
}

const YEAR = 'public, max-age=31536000, immutable'

describe('the Cloudflare Worker', () => {
  it('keeps the answers of the same thousand header sets under the same keys', async () => {
    const worker = startWorker(() => new Response('picture', { headers: { 'Cache-Control': YEAR } }))
    for (const { set, path } of asked) {
      const key = edgeKey(path, (name) => new Headers(set).get(name) ?? '')
      const kept = `https://img.test/${encodeURIComponent(`key ${key}`)}${path}`
      const had = worker.stored.has(kept)
      const status = (await worker.ask(path, set)).headers.get('cache-status')
      if (path.endsWith('/original')) expect(status).toBeNull()
      else
        expect([path, set, status]).toEqual([
          path,
          set,
          key === undefined ? 'oriel-edge; fwd=bypass' : had ? 'oriel-edge; hit' : 'oriel-edge; fwd=uri-miss',
        ])
      if (key !== undefined && !path.endsWith('/original')) expect(worker.stored.has(kept)).toBe(true)
    }
  })

  it('tells browsers what the origin said, keeps for a day, and strips what is conditional on the way', async () => {
    const seen: Headers[] = []
    const worker = startWorker((_, headers) => {
      seen.push(headers)
      return new Response('picture', { headers: { 'Cache-Control': YEAR, Vary: 'Accept' } })
    })
    const path = `/i/${SOME_HASH}/800x.auto`
    await worker.ask(path, { ...realSets[2], 'if-none-match': '"x"' })
    expect(seen[0]?.get('if-none-match')).toBeNull()
    expect([...worker.stored.values()][0]?.headers.get('cache-control')).toBe('max-age=86400')
    const again = await worker.ask(path, realSets[2])
    expect(again.headers.get('cache-control')).toBe(YEAR)
    expect(again.headers.get('x-oriel-control')).toBeNull()
    expect(worker.fetched).toEqual([`http://origin${path}`])
  })

  it.for([
    ['a private answer', 200, 'private, max-age=31536000, immutable', undefined],
    ['a fault', 503, 'no-store', undefined],
    ['what is gone', 410, 'no-store', 'max-age=5'],
    ['a signed public answer', 200, 'public, max-age=90, immutable', 'max-age=90'],
  ] as const)('keeps %s as long as it may', async ([, status, control, kept]) => {
    const worker = startWorker(() => new Response('x', { status, headers: { 'Cache-Control': control } }))
    await worker.ask(`/i/${SOME_HASH}/800x.webp?exp=1&kid=k1&sig=abc`)
    expect([...worker.stored.values()][0]?.headers.get('cache-control')).toBe(kept)
  })
})
