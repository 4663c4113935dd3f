import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ImageFacts } from '../../src/core/image.ts'
import type { Prober } from '../../src/imaging/renderer-port.ts'
import { formatCursor, parseCursor } from '../../src/library/cursor.ts'
import { SORT_FIELDS } from '../../src/metadata/listing.ts'
import {
  asAdmin,
  asOwner,
  picture,
  temporaryWritePath,
  testProber,
  type UploadedAsset,
  upload,
  type WritePath,
} from '../fixtures/write-path.ts'

type App = WritePath['app']

const call = async (
  app: App,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = asAdmin,
) => {
  const response = await app.request(path, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    json: (text ? JSON.parse(text) : undefined) as Record<string, unknown> & { detail: string },
  }
}

/** The facts of a picture as the tests' prober finds them, but for these. */
const proberOf = (facts: Partial<ImageFacts>): Prober => ({
  probe: async (file, signal) => {
    const probed = await testProber.probe(file, signal)
    return { ...probed, facts: { ...probed.facts, ...facts } }
  },
})

interface Page {
  readonly items: readonly UploadedAsset[]
  readonly next_cursor: string | null
}
const page = async (app: App, query: string): Promise<Page> =>
  (await call(app, 'GET', `/assets?${query}`)).json as unknown as Page

describe('precheck', () => {
  it('tells known from unknown, owned from not, and compares the size', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    const { asset } = await upload(path.app, body)
    const ask = (sha256: string, size: number, headers = asAdmin) =>
      call(path.app, 'POST', '/assets/precheck', { sha256, size }, headers).then(({ json }) => json)
    expect(await ask('a'.repeat(64), 1)).toEqual({ exists: false, owned: false })
    expect(await ask(asset.hash, body.length)).toEqual({
      exists: true,
      owned: true,
      asset_id: asset.id,
      size_matches: true,
    })
    expect(await ask(asset.hash, 1)).toMatchObject({ size_matches: false })
    const other = (await asOwner(path.app, 'other')) as typeof asAdmin
    // Who does not own the bytes is asked to prove that he has them.
    const unowned = { exists: true, owned: false, size_matches: true, challenge: expect.anything() }
    expect(await ask(asset.hash, body.length, other)).toEqual(unowned)
    await call(path.app, 'DELETE', `/assets/${asset.id}`)
    expect(await ask(asset.hash, body.length)).toEqual(unowned)
  })

  it.for([[{ sha256: 'x', size: 1 }], [{ sha256: 'A'.repeat(64), size: 1 }], [{ sha256: 'a'.repeat(64) }], [{}]])(
    'refuses %j',
    async ([body]) => {
      await using path = await temporaryWritePath()
      expect((await call(path.app, 'POST', '/assets/precheck', body)).status).toBe(400)
    },
  )
})

describe('one asset', () => {
  it('is its owner’s alone, readable by an administrator, and gone once deleted', async () => {
    await using path = await temporaryWritePath()
    const owner = await asOwner(path.app, 'alice')
    const stranger = await asOwner(path.app, 'bob')
    const { asset } = await upload(path.app, await picture(1), owner)
    expect(asset.owner).toBe('alice')
    for (const tail of ['', '/metadata', '/srcset', '/variants/thumb']) {
      expect((await call(path.app, 'GET', `/assets/${asset.id}${tail}`, undefined, owner)).status).toBe(200)
      expect((await call(path.app, 'GET', `/images/${asset.id}${tail}`)).status).toBe(200)
      expect((await call(path.app, 'GET', `/assets/${asset.id}${tail}`, undefined, stranger)).status).toBe(404)
    }
    for (const [method, body] of [
      ['PATCH', {}],
      ['DELETE', undefined],
    ] as const)
      expect((await call(path.app, method, `/assets/${asset.id}`, body, stranger)).status).toBe(404)
    expect((await call(path.app, 'GET', '/assets', undefined, stranger)).json.items).toEqual([])
    expect((await call(path.app, 'GET', '/assets?owner=alice', undefined, stranger)).status).toBe(403)
    expect((await call(path.app, 'GET', '/assets?owner=alice')).json.items).toHaveLength(1)
    await call(path.app, 'DELETE', `/assets/${asset.id}`, undefined, owner)
    for (const tail of ['', '/metadata', '/srcset', '/variants/thumb'])
      expect((await call(path.app, 'GET', `/assets/${asset.id}${tail}`, undefined, owner)).status).toBe(410)
    expect((await call(path.app, 'PATCH', `/assets/${asset.id}`, {}, owner)).status).toBe(410)
  })

  it.for(['a_0000000000000000000000', 'nonsense', '..%2f..'])('is not found under %s', async (id) => {
    await using path = await temporaryWritePath()
    expect((await call(path.app, 'GET', `/assets/${id}`)).status).toBe(404)
  })

  it('escapes what its owner wrote in the ready markup', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1), {}, '?title=%22%3E%3Cscript%3E%26')
    expect(asset.img).toContain('alt="&quot;&gt;&lt;script&gt;&amp;"')
    const { json } = await call(path.app, 'GET', `/assets/${asset.id}/srcset?sizes=100,320&format=webp`)
    expect(json.srcset).toBe(`/i/${asset.hash}/100x.webp?exp=1&sig=x 64w`)
    expect(json.picture).not.toContain('<script>')
  })

  it.for([
    ['a photo', {}, ['image/avif', 'image/webp'], 'jpg'],
    ['a picture with alpha', { hasAlpha: true }, ['image/avif', 'image/webp'], 'png'],
    ['an animation', { animated: true, hasAlpha: true }, ['image/webp'], 'gif'],
  ] as const)('has a <picture> in which %s stays what it is', async ([, facts, types, fallback]) => {
    await using path = await temporaryWritePath({ prober: proberOf(facts) })
    const { asset } = await upload(path.app, await picture(1, 1000, 800))
    const { picture: text } = (await call(path.app, 'GET', `/assets/${asset.id}/srcset`)).json
    const sources = [...String(text).matchAll(/<source type="([^"]+)" srcset="([^"]+)" sizes="([^"]+)">/g)]
    expect(sources.map(([, type]) => type)).toEqual(types)
    for (const [, , srcset, sizes] of sources) {
      expect(srcset).toMatch(/960x\.\w+ 960w, [^ ]+1280x\.\w+ 1000w$/)
      expect(sizes).toBe('(max-width: 640px) 100vw, 640px')
    }
    expect(text).toContain(
      `<img src="/i/${asset.hash}/640x.${fallback}" srcset="/i/${asset.hash}/160x.${fallback} 160w`,
    )
  })

  it.for([
    ['', 100, '640x.auto', 100],
    ['', 1000, '640x.auto', 640],
    ['?sizes=320,960', 1000, '960x.auto', 960],
    ['?sizes=1920', 1000, '1920x.auto', 1000],
  ] as const)('is shown %s, being %i wide, from %s at most %i wide', async ([query, width, src, shown]) => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1, width, 10))
    const { img } = (await call(path.app, 'GET', `/assets/${asset.id}/srcset${query}`)).json
    expect(img).toContain(`<img src="/i/${asset.hash}/${src}"`)
    expect(img).toContain(`sizes="(max-width: ${shown}px) 100vw, ${shown}px"`)
  })

  it.for(['320,640', '640,320', '320w,640w', '320, 640', ' 320w , 640 ,320'])('has the widths %j', async (sizes) => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1, 1000, 10))
    const query = new URLSearchParams({ sizes, format: 'jpg' })
    const { json } = await call(path.app, 'GET', `/assets/${asset.id}/srcset?${query}`)
    expect(json.srcset).toBe(`/i/${asset.hash}/320x.jpg 320w, /i/${asset.hash}/640x.jpg 640w`)
  })

  it.for(['100vw', '(max-width: 600px) 100vw, 600px', '(width <= 30rem) calc(100vw - 2rem), 50vw'])(
    'has elements with the text %j of HTML’s attribute',
    async (sizes) => {
      await using path = await temporaryWritePath()
      const { asset } = await upload(path.app, await picture(1, 1000, 10))
      const query = new URLSearchParams({ sizes })
      const { json } = await call(path.app, 'GET', `/assets/${asset.id}/srcset?${query}`)
      const { json: plain } = await call(path.app, 'GET', `/assets/${asset.id}/srcset`)
      expect(json.srcset).toBe(plain.srcset)
      const written = [...`${json.img}${json.picture}`.matchAll(/ sizes="([^"]*)"/g)].map(([, text]) => text)
      expect(new Set(written)).toEqual(new Set([sizes.replace('<', '&lt;')]))
    },
  )

  it.for(['320w640', 'wide', '320,,640', '0', '8193', '-1', '100vw" onload="x', '100vw;a', ''])(
    'has no widths %j',
    async (sizes) => {
      await using path = await temporaryWritePath()
      const { asset } = await upload(path.app, await picture(1))
      expect((await call(path.app, 'GET', `/assets/${asset.id}/srcset?sizes=${sizes}`)).status).toBe(400)
    },
  )

  it('calls JPEG jpg in its URLs, whichever name was used', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    for (const format of ['jpg', 'jpeg']) {
      const { url } = (await call(path.app, 'GET', `/assets/${asset.id}/variants/thumb?format=${format}`)).json
      expect(url).toContain('@thumb.jpg')
    }
  })

  it('has no variant of an unknown preset', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    expect((await call(path.app, 'GET', `/assets/${asset.id}/variants/nope`)).status).toBe(404)
    expect((await call(path.app, 'GET', `/assets/${asset.id}/variants/thumb?format=avif`)).json.url).toContain(
      '@thumb.avif',
    )
  })
})

describe('a patch', () => {
  it('changes what it names, clears what it nulls, leaves the rest', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1), {}, '?title=one&description=two&tags=a&location=1,2')
    const patched = await call(path.app, 'PATCH', `/assets/${asset.id}`, {
      title: null,
      tags: ['b', 'b', 'c'],
      location: null,
    })
    expect(patched.status).toBe(200)
    expect(patched.json).toMatchObject({ title: null, description: 'two', tags: ['b', 'c'], location: null })
    expect((await call(path.app, 'GET', `/assets/${asset.id}`)).json).toMatchObject({ title: null, description: 'two' })
  })

  it('keeps text that every reader can read', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    const patch = {
      title: 'two\nlines \ud800',
      description: 'a\r\nb\tc\rd \udc00',
      tags: ['half \ud83d'],
      filename: 'x\ud800.jpg',
    }
    const { json } = await call(path.app, 'PATCH', `/assets/${asset.id}`, patch)
    expect(json).toMatchObject({ title: 'two lines \ufffd', description: 'a\nb\tc\nd \ufffd', tags: ['half \ufffd'] })
    expect(json.filename).toBe('x\ufffd.jpg')
  })

  it('tells delivery before it answers', async () => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    const heard: string[] = []
    path.notices.subscribe((digest) => heard.push(digest))
    await call(path.app, 'PATCH', `/assets/${asset.id}`, { visibility: 'private' })
    expect(heard).toEqual([asset.hash])
  })

  it.for([
    [{ colour: 'red' }],
    [{ visibility: null }],
    [{ visibility: 'secret' }],
    [{ title: 5 }],
    [{ title: 'a\u0000b' }],
    [{ description: 'a\u0000b' }],
    [{ description: '\u001b[31mred' }],
    [{ description: '\u0085' }],
    [{ tags: 'a' }],
    [{ tags: ['a,b'] }],
    [{ tags: ['\u0000'] }],
    [{ location: { latitude: 91, longitude: 0 } }],
    [{ location: { latitude: 1 } }],
    [{ taken_at: 'yesterday' }],
    [{ taken_at: '2024-05-01T12:00:00' }],
    [{ id: 'a_x' }],
    [[]],
  ])('refuses %j', async ([body]) => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1))
    expect((await call(path.app, 'PATCH', `/assets/${asset.id}`, body)).status).toBe(400)
  })
})

describe('listing', () => {
  it('filters', async () => {
    await using path = await temporaryWritePath()
    const first = await upload(
      path.app,
      await picture(1),
      { 'X-Filename': 'Beach 100%.jpg' },
      '?tags=sea,sky&visibility=private',
    )
    const second = await upload(path.app, await picture(2), { 'X-Filename': 'forest.jpg' }, '?tags=Sea,seaside')
    const third = await upload(path.app, await picture(3))
    await call(path.app, 'DELETE', `/assets/${third.asset.id}`)
    const ids = async (query: string) => (await page(path.app, query)).items.map(({ id }) => id)
    expect(await ids('sort=created_at&order=asc')).toEqual([first.asset.id, second.asset.id])
    expect(await ids('tag=sea')).toEqual([first.asset.id])
    expect(await ids('tag=Sea')).toEqual([second.asset.id])
    expect(await ids('visibility=private')).toEqual([first.asset.id])
    expect(await ids('q=bEACH')).toEqual([first.asset.id])
    expect(await ids('q=100%25')).toEqual([first.asset.id])
    expect(await ids('q=%25')).toEqual([first.asset.id])
    expect(await ids('q=_')).toEqual([])
    expect(await ids(`hash=${second.asset.hash}`)).toEqual([second.asset.id])
    expect(await ids('format=png')).toEqual([])
    expect(await ids('state=deleted')).toEqual([third.asset.id])
    expect(await ids('created_after=2999-01-01T00:00:00Z')).toEqual([])
    expect(await ids('created_before=2999-01-01T00:00:00Z')).toHaveLength(2)
  })

  it.for(['limit=0', 'limit=201', 'sort=colour', 'cursor=abc', 'cursor=', 'colour=red', 'created_after=now'])(
    'refuses %s',
    async (query) => {
      await using path = await temporaryWritePath()
      expect((await call(path.app, 'GET', `/assets?${query}`)).status).toBe(400)
    },
  )

  it('refuses a cursor of another order', async () => {
    await using path = await temporaryWritePath()
    for (const seed of [1, 2]) await upload(path.app, await picture(seed))
    const { next_cursor: cursor } = await page(path.app, 'limit=1&sort=bytes')
    expect((await call(path.app, 'GET', `/assets?limit=1&sort=filename&cursor=${cursor}`)).status).toBe(400)
    expect((await call(path.app, 'GET', `/assets?limit=1&sort=bytes&order=asc&cursor=${cursor}`)).status).toBe(400)
    expect((await call(path.app, 'GET', `/assets?limit=1&sort=bytes&cursor=${cursor}`)).status).toBe(200)
  })

  it('shows every asset once whatever the order, the page size and what is added meanwhile', async () => {
    await using path = await temporaryWritePath()
    // Few sizes and names, so that ties are many.
    for (let seed = 0; seed < 24; seed++)
      await upload(
        path.app,
        await picture(seed % 6, 8 + (seed % 3)),
        seed % 4 ? { 'X-Filename': `n${seed % 3}.jpg` } : {},
      )
    const start = (await page(path.app, 'limit=200')).items.map(({ id }) => id)
    let added = 100
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SORT_FIELDS),
        fc.constantFrom('asc', 'desc'),
        fc.integer({ min: 1, max: 9 }),
        async (sort, order, limit) => {
          const seen: UploadedAsset[] = []
          let cursor: string | null = ''
          while (cursor !== null) {
            const at: string = cursor ? `&cursor=${cursor}` : ''
            const { items, next_cursor }: Page = await page(path.app, `sort=${sort}&order=${order}&limit=${limit}${at}`)
            seen.push(...items)
            cursor = next_cursor
            if (seen.length < 10) await upload(path.app, await picture(added++))
          }
          const ids = seen.map(({ id }) => id)
          expect(new Set(ids).size).toBe(ids.length)
          expect(start.filter((id) => !ids.includes(id))).toEqual([])
          const values = seen.map((asset) => asset[sort] ?? '') as (string | number)[]
          const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
          expect(values).toEqual(order === 'asc' ? sorted : sorted.reverse())
        },
      ),
      { numRuns: 12 },
    )
  })

  it('reads back every cursor that it writes', () => {
    const order = fc.record({ sort: fc.constant('filename' as const), descending: fc.boolean() })
    fc.assert(
      fc.property(order, fc.string({ maxLength: 255, unit: 'grapheme' }), (of, value) => {
        fc.pre(value.length <= 255)
        const position = { value, id: 'a_0000000000000000000000' }
        expect(parseCursor(formatCursor(of, position), of)).toEqual(position)
      }),
    )
  })
})

describe('API keys', () => {
  it('are made, listed without their secret, and revoked by an administrator only', async () => {
    await using path = await temporaryWritePath()
    const made = await call(path.app, 'POST', '/internal/keys', { owner: 'alice', name: 'laptop' })
    expect(made.status).toBe(201)
    const alice = { Authorization: `Bearer ${made.json.key}` }
    expect((await call(path.app, 'GET', '/assets', undefined, alice)).status).toBe(200)
    expect((await call(path.app, 'GET', '/internal/keys', undefined, alice)).status).toBe(403)
    const listed = await call(path.app, 'GET', '/internal/keys')
    expect(listed.json.items).toMatchObject([{ id: made.json.id, owner: 'alice', name: 'laptop', revoked_at: null }])
    expect(JSON.stringify(listed.json)).not.toContain(made.json.key)
    for (const _ of [1, 2]) expect((await call(path.app, 'DELETE', `/internal/keys/${made.json.id}`)).status).toBe(204)
    expect((await call(path.app, 'GET', '/assets', undefined, alice)).status).toBe(401)
    expect((await call(path.app, 'DELETE', '/internal/keys/k_none')).status).toBe(404)
    expect((await call(path.app, 'POST', '/internal/keys', { owner: 'No Good', name: 'x' })).status).toBe(400)
  })
})
