import { rename } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AssetJson, json, type Origin, startOrigin } from './origin.ts'

let origin: Origin
let asset: AssetJson

beforeAll(async () => {
  origin = await startOrigin()
  const picture = await sharp({ create: { width: 64, height: 48, channels: 3, background: '#357' } })
    .jpeg()
    .toBuffer()
  asset = await origin.upload(new Uint8Array(picture))
})
afterAll(() => origin[Symbol.asyncDispose]())

interface Problem {
  readonly type: string
  readonly status: number
  readonly detail: string
}

const problemOf = async (response: Response): Promise<Problem> => {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(response.headers.get('cache-control')).toBe('no-store')
  const problem = await json<Problem>(response)
  expect(problem.status).toBe(response.status)
  return problem
}

/** Routes that take JSON: method and path. */
const jsonRoutes = (): readonly (readonly [string, string])[] => [
  ['POST', '/assets/precheck'],
  ['POST', '/images/precheck'],
  ['PATCH', `/assets/${asset.id}`],
  ['POST', '/internal/keys'],
]

describe('a JSON body', () => {
  const JSON_TYPE = { 'Content-Type': 'application/json' }

  it.for([
    ['cut short', '{"sha256":', JSON_TYPE, 400, 'the body is not JSON: '],
    ['empty', '', JSON_TYPE, 400, 'the body is empty'],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), JSON_TYPE, 400, 'the body is not UTF-8'],
    ['no object', '[]', JSON_TYPE, 400, 'expected object'],
    ['called text', '{}', { 'Content-Type': 'text/plain' }, 415, 'not "text/plain"'],
    ['called a form', 'a=1', { 'Content-Type': 'application/x-www-form-urlencoded' }, 415, 'send application/json'],
    ['said to be compressed', '{}', { ...JSON_TYPE, 'Content-Encoding': 'gzip' }, 415, 'Content-Encoding "gzip"'],
    ['200 KB of brackets', '['.repeat(200_000), JSON_TYPE, 413, '131072 bytes'],
  ] as const)('that is %s is refused with its reason on every route', async ([, body, headers, status, detail]) => {
    for (const [method, path] of jsonRoutes()) {
      const response = await origin.api(path, { method, headers, body })
      expect(response.status, `${method} ${path}`).toBe(status)
      expect((await problemOf(response)).detail).toContain(detail)
    }
  })

  it('without a type is refused', async () => {
    for (const [method, path] of jsonRoutes()) {
      const response = await origin.api(path, { method, body: new Uint8Array([0x7b, 0x7d]) })
      expect((await problemOf(response)).detail).toContain('a body without a type')
      expect(response.status).toBe(415)
    }
  })

  it('of endless length is cut off, whether it says its length or not', async () => {
    for (const framing of ['Content-Length: 150000000', 'Transfer-Encoding: chunked']) {
      const head = `POST /assets/precheck HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer e2e-admin-key-0123456789\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`
      const chunk = framing.startsWith('T') ? `10000\r\n${'['.repeat(65_536)}\r\n` : '['.repeat(65_536)
      const { text } = await talk(head, chunk)
      expect(text).toContain('HTTP/1.1 413 ')
    }
  })

  it('is not read for a stranger', async () => {
    const response = await fetch(`${origin.url}/assets/precheck`, { method: 'POST', body: '{' })
    expect((await problemOf(response)).status).toBe(401)
  })
})

/** Past every limit. No more: what is still being written when an answer comes with a reset may cost us the answer. */
const ENOUGH = 4

/** Says `head`, then `chunk` so often or until it is answered; resolves with the whole answer when the connection ends. */
const talk = (head: string, chunk = ''): Promise<{ readonly text: string; readonly sent: number }> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(origin.url).port), '127.0.0.1')
    let text = ''
    let sent = 0
    const more = () => {
      while (chunk && !text && !socket.destroyed && sent < ENOUGH) {
        sent++
        if (!socket.write(chunk)) return
      }
    }
    socket.on('drain', more)
    socket.on('data', (data) => {
      text += data.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve({ text, sent }))
    socket.write(head)
    more()
  })

describe('a method that a path does not have', () => {
  it.for([
    ['GET', '/assets/precheck', 'POST, OPTIONS'],
    ['DELETE', '/assets/upload', 'POST, OPTIONS'],
    ['PUT', '/assets/a_0000000000000000000000', 'DELETE, GET, HEAD, OPTIONS, PATCH'],
    ['POST', '/images/a_0000000000000000000000/srcset', 'GET, HEAD, OPTIONS'],
    ['DELETE', '/assets', 'GET, HEAD, OPTIONS'],
    ['POST', '/healthz', 'GET, HEAD, OPTIONS'],
    ['PUT', '/internal/keys', 'GET, HEAD, OPTIONS, POST'],
    ['GET', '/internal/assets/x/cleanup', 'OPTIONS, POST'],
    ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
    ['POST', '/docs', 'GET, HEAD, OPTIONS'],
    ['POST', '/analytics/summary', 'GET, HEAD, OPTIONS'],
  ] as const)('%s %s is refused, and Allow names those it has', async ([method, path, allow]) => {
    const response = await origin.api(path, { method })
    expect(response.status).toBe(405)
    expect(sorted(response.headers.get('allow'))).toBe(sorted(allow))
    expect((await problemOf(response)).type).toBe('urn:oriel:problem:method-not-allowed')
    const options = await fetch(origin.url + path, { method: 'OPTIONS' })
    expect(options.status).toBe(204)
    expect(sorted(options.headers.get('allow'))).toBe(sorted(allow))
    expect([...options.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  it('is named once where a route has an OPTIONS of its own', async () => {
    const response = await origin.api('/files', { method: 'GET' })
    expect([response.status, sorted(response.headers.get('allow'))]).toEqual([405, 'OPTIONS, POST'])
  })

  it('is told apart from a path that is nowhere', async () => {
    for (const method of ['GET', 'POST', 'OPTIONS'])
      for (const path of ['/nowhere', '/assets/a/b/c', '/assets/'])
        expect((await origin.api(path, { method })).status).toBe(404)
  })

  it('is never HEAD where there is GET', async () => {
    expect((await origin.api(`/assets/${asset.id}`, { method: 'HEAD' })).status).toBe(200)
  })
})

const sorted = (list: string | null): string => (list ?? '').split(', ').sort().join(', ')

describe('an API answer', () => {
  it.for([
    ['GET', (id: string) => `/assets/${id}`],
    ['GET', () => '/assets'],
    ['GET', (id: string) => `/assets/${id}/srcset`],
    ['GET', (id: string) => `/images/${id}/variants/thumb`],
    ['POST', (id: string) => `/assets/${id}/restore`],
    ['GET', () => '/internal/keys'],
  ] as const)('to %s is kept by no cache', async ([method, path]) => {
    const response = await origin.api(path(asset.id), { method })
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('private, no-store')
  })

  it('names its URLs by a host with an underscore or a final dot', async () => {
    for (const host of ['oriel_app:3000', 'img.example.'])
      expect(
        (
          await talk(
            `GET /assets/${asset.id} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer e2e-admin-key-0123456789\r\nConnection: close\r\n\r\n`,
          )
        ).text,
      ).toContain(`"http://${host}/i/`)
  })
})

describe('HTTP/1.0 without Host', () => {
  it.for([
    ['/healthz', 200],
    ['/nowhere', 404],
  ] as const)('asks for %s and gets %i', async ([path, status]) => {
    expect((await talk(`GET ${path} HTTP/1.0\r\n\r\n`)).text).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  it('gets relative URLs', async () => {
    const { id } = asset
    const authorization = 'Authorization: Bearer e2e-admin-key-0123456789'
    expect((await talk(`GET /assets/${id} HTTP/1.0\r\n${authorization}\r\n\r\n`)).text).toContain('"auto":"/i/')
  })
})

describe('what is no HTTP request', () => {
  it.for([
    ['of a broken first line', 'HELLO\r\n\r\n', 400],
    ['of a broken header', 'GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n', 400],
    ['of two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['of headers beyond 16 KiB', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ] as const)('because %s is answered with a problem', async ([, request, status]) => {
    const { text } = await talk(request)
    const [head = '', body = ''] = text.split('\r\n\r\n')
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(head.toLowerCase()).toContain('content-type: application/problem+json')
    expect(head.toLowerCase()).toContain('cache-control: no-store')
    expect(head.toLowerCase()).toContain('connection: close')
    expect(head.toLowerCase()).toContain(`content-length: ${Buffer.byteLength(body)}`)
    expect(JSON.parse(body)).toMatchObject({ status })
  })
})

type Json = Readonly<Record<string, unknown>>
type Operation = Json & {
  readonly operationId: string
  readonly responses: Json
  readonly security?: readonly unknown[]
}

describe('the OpenAPI document', () => {
  let document: Json & { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> }
  let nodes: readonly (readonly [string, Json])[]
  let operations: readonly (readonly [string, string, Operation])[]

  /** Every object in the document, by its place. */
  const walk = (value: unknown, place: string): readonly (readonly [string, Json])[] => {
    if (typeof value !== 'object' || value === null) return []
    const inside = Object.entries(value).flatMap(([key, part]) => walk(part, `${place}/${key}`))
    return [[place, value as Json], ...inside]
  }

  beforeAll(async () => {
    document = await json(await fetch(`${origin.url}/openapi.json`))
    nodes = walk(document, '#')
    operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => [path, method, operation] as const),
    )
  })

  it('refers to nothing that is not there', () => {
    const references = nodes.flatMap(([, { $ref }]) => (typeof $ref === 'string' ? [$ref] : []))
    expect(references.length).toBeGreaterThan(0)
    expect(references.filter((reference) => !nodes.some(([place]) => place === reference))).toEqual([])
  })

  it('declares each parameter of each path, and no other', () => {
    for (const [path, method, operation] of operations) {
      const declared = nodes
        .filter(([place]) => place.startsWith(`#/paths/${path}/${method}/parameters/`))
        .flatMap(([, node]) => (node.in === 'path' ? [node] : []))
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      expect(declared.map(({ name }) => name).sort(), operation.operationId).toEqual(names.sort())
      expect(declared.every(({ required }) => required === true)).toBe(true)
    }
  })

  it('has patterns that every engine reads, with and without flags', () => {
    const patterns = nodes.flatMap(([, { pattern }]) => (typeof pattern === 'string' ? [pattern] : []))
    expect(patterns).toContain('^[0-9a-f]{64}$')
    for (const pattern of patterns) {
      expect(pattern).not.toMatch(/\/[a-z]*$/)
      expect(() => [new RegExp(pattern), new RegExp(pattern, 'u')]).not.toThrow()
    }
    const tag = patterns.find((pattern) => pattern.startsWith('^[^'))
    expect(new RegExp(tag ?? '', 'u').test('sea, sky')).toBe(false)
    expect(new RegExp(tag ?? '', 'u').test('côte d’azur 🏖')).toBe(true)
  })

  it('names each operation once', () => {
    const ids = operations.map(([, , { operationId }]) => operationId)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('asks for a key exactly where one is needed', () => {
    for (const [path, , { security, responses }] of operations)
      expect((security ?? document.security) as unknown, path).toEqual('401' in responses ? [{ bearer: [] }] : [])
    const open = operations.filter(([, , { responses }]) => !('401' in responses)).map(([path]) => path)
    expect(open.filter((path) => !path.startsWith('/i/')).sort()).toEqual([
      '/docs',
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/readyz',
    ])
  })

  it('tells of each refusal of a JSON body, and each such route refuses so', async () => {
    const taking = nodes.filter(([place]) => place.endsWith('/requestBody/content/application/json'))
    expect(taking.length).toBe(8)
    for (const [path, method, operation] of operations) {
      if (!taking.some(([place]) => place.startsWith(`#/paths/${path}/${method}/`))) continue
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['400', '408', '413', '415']))
      const answer = await origin.api(path.replace('{id}', asset.id), { method: method.toUpperCase(), body: '{' })
      expect(answer.status, operation.operationId).toBe(415)
    }
  })

  it('tells of every 400 that a query can cause', () => {
    for (const [path, method, { responses, operationId }] of operations)
      if (
        nodes.some(([place, node]) => place.startsWith(`#/paths/${path}/${method}/parameters/`) && node.in === 'query')
      )
        expect(Object.keys(responses), operationId).toContain('400')
  })

  it('is true of every path: each answers', async () => {
    for (const [path, method] of operations) {
      const at = path.replace(/\{\w+\}/g, asset.id)
      const answer = await fetch(origin.url + at, { method: 'OPTIONS' })
      if (path.startsWith('/i/')) continue
      expect(answer.headers.get('allow'), path).toContain(method.toUpperCase())
    }
  })
})

describe('readiness', () => {
  it.for(['originals', 'staging'])('ends while %s is away, and comes back with it', async (name) => {
    const folder = join(origin.data, name)
    const readiness = async () => {
      const response = await fetch(`${origin.url}/readyz`)
      const { engines } = await json<{ engines: { blobs: { state: string } } }>(response)
      return [response.status, engines.blobs.state]
    }
    await rename(folder, `${folder}.away`)
    await expect.poll(readiness).toEqual([503, 'down'])
    await rename(`${folder}.away`, folder)
    await expect.poll(readiness).toEqual([200, 'ready'])
  })
})
