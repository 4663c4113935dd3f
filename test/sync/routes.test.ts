import { describe, expect, it } from 'vitest'
import { createDescribeAsset } from '../../src/http/asset-document.ts'
import { createRouter } from '../../src/http/context.ts'
import { createGuards } from '../../src/http/principal.ts'
import { problemResponse } from '../../src/http/problem.ts'
import { findKeyOwner } from '../../src/metadata/api-keys.ts'
import { createFeed } from '../../src/sync/feed.ts'
import { createHub, type HubOptions } from '../../src/sync/hub.ts'
import { createSyncRoutes } from '../../src/sync/routes.ts'
import {
  ADMIN_KEY,
  asAdmin,
  asOwner,
  picture,
  temporaryWritePath,
  upload,
  type WritePath,
} from '../fixtures/write-path.ts'

interface ChangeJson {
  readonly cursor: string
  readonly kind: string
  readonly asset_id: string
  readonly at: string
  readonly asset?: { readonly id: string; readonly title: string | null }
}

const open = async (options: HubOptions = {}, stream: { heartbeatMs?: number; lifetimeMs?: number } = {}) => {
  const path = await temporaryWritePath()
  const hub = createHub(path, { pollMs: 30, ...options })
  const urls = {
    ready: (_: string, asset: { digest: string }, tail: string) => `/i/${asset.digest}/${tail}`,
    signed: () => ({ url: '', expiresAt: new Date() }),
  }
  const routes = createSyncRoutes(
    {
      feed: createFeed(path.metadata),
      hub,
      guards: createGuards(ADMIN_KEY, (hash) => findKeyOwner(path.metadata.read, hash)),
      describe: createDescribeAsset({ urls, ladder: [320], defaultWidth: 320 }),
      onFault: () => undefined,
    },
    stream,
  )
  const app = createRouter()
  app.onError((error) => problemResponse(error, 'test'))
  app.route('/', routes)
  const sync = async (query = '', headers = asAdmin) => {
    const response = await app.request(`/sync${query}`, { headers })
    const json = (await response.json()) as {
      changes: ChangeJson[]
      next_cursor: string
      has_more: boolean
      detail: string
    }
    return { status: response.status, ...json }
  }
  return {
    ...path,
    hub,
    sync,
    events: (query = '', headers: Record<string, string> = asAdmin, method = 'GET', bindings = {}) =>
      app.request(`/sync/events${query}`, { headers, method }, bindings),
    [Symbol.asyncDispose]: async () => {
      hub[Symbol.dispose]()
      await path[Symbol.asyncDispose]()
    },
  }
}

const patch = (app: WritePath['app'], id: string, title: string) =>
  app.request(`/assets/${id}`, {
    method: 'PATCH',
    headers: { ...asAdmin, 'Content-Type': 'application/json' },
    body: JSON.stringify({ title }),
  })

/** Reads until so many events have come; comments and the last id are kept too. */
const listen = (response: Response) => {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  const heard = { changes: [] as ChangeJson[], ids: [] as string[], comments: 0, ended: false }
  let text = ''
  const more = async () => {
    const step = await reader?.read()
    if (!step || step.done) heard.ended = true
    else text += decoder.decode(step.value, { stream: true })
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const line of blocks.join('\n').split('\n')) {
      if (line.startsWith('id: ')) heard.ids.push(line.slice(4))
      if (line.startsWith('data: ')) heard.changes.push(JSON.parse(line.slice(6)) as ChangeJson)
      if (line.startsWith(':')) heard.comments += 1
    }
  }
  return {
    heard,
    until: async (done: () => boolean) => {
      while (!done() && !heard.ended) await more()
    },
    cancel: () => reader?.cancel(),
  }
}

describe('GET /sync', () => {
  it('answers what was added, updated and deleted, in pages, with the asset as it is', async () => {
    await using server = await open()
    const empty = await server.sync()
    expect(empty).toMatchObject({ status: 200, changes: [], has_more: false })
    const { asset: one } = await upload(server.app, await picture(1))
    const { asset: two } = await upload(server.app, await picture(2))
    await patch(server.app, one.id, 'hello')
    await server.app.request(`/assets/${two.id}`, { method: 'DELETE', headers: asAdmin })
    const told = await server.sync(`?since=${empty.next_cursor}`)
    expect(told.changes.map(({ kind, asset_id, asset }) => [kind, asset_id, asset?.title])).toEqual([
      ['added', one.id, 'hello'],
      ['added', two.id, undefined],
      ['updated', one.id, 'hello'],
      ['deleted', two.id, undefined],
    ])
    const page = await server.sync('?limit=3')
    expect([page.changes.length, page.has_more, page.next_cursor]).toEqual([3, true, told.changes[2]?.cursor])
    await server.app.request(`/assets/${two.id}/restore`, { method: 'POST', headers: asAdmin })
    const rest = await server.sync(`?since=${page.next_cursor}`)
    expect(rest.changes.map(({ kind, asset }) => [kind, asset?.id])).toEqual([
      ['deleted', undefined],
      ['added', two.id],
    ])
    expect((await server.sync(`?since=${rest.next_cursor}`)).changes).toEqual([])
  })

  it('takes a time for a cursor, in either form', async () => {
    await using server = await open()
    const before = Date.now()
    await upload(server.app, await picture(1))
    for (const since of [before, new Date(before).toISOString(), '2020-01-01', '2020-01-01T00:00:00%2B02:00', 0])
      expect((await server.sync(`?since=${since}`)).changes.length).toBe(1)
    expect((await server.sync(`?since=${Date.now() + 1000}`)).changes).toEqual([])
  })

  it('keeps owners apart, and refuses what is no cursor, or another’s, by name', async () => {
    await using server = await open()
    await upload(server.app, await picture(1))
    const other = { Authorization: '', ...(await asOwner(server.app, 'someone')) }
    expect((await server.sync('', other)).changes).toEqual([])
    const { next_cursor } = await server.sync()
    expect(await server.sync(`?since=${next_cursor}`, other)).toMatchObject({
      status: 400,
      detail: expect.stringMatching(/since.*another owner/),
    })
    for (const since of ['nonsense', 'WzFd', '-5', '2026-13-01'])
      expect(await server.sync(`?since=${since}`)).toMatchObject({
        status: 400,
        detail: expect.stringContaining(since),
      })
    expect((await server.sync('', { Authorization: 'Bearer x' })).status).toBe(401)
  })
})

describe('GET /sync/events', () => {
  it('tells what was and what comes, and goes on where the last id stood', async () => {
    await using server = await open()
    const { asset: one } = await upload(server.app, await picture(1))
    const response = await server.events()
    expect(response.headers.get('Content-Type')).toBe('text/event-stream; charset=utf-8')
    const stream = listen(response)
    await stream.until(() => stream.heard.changes.length === 1)
    await patch(server.app, one.id, 'later')
    await stream.until(() => stream.heard.changes.length === 2)
    expect(stream.heard.changes.map(({ kind }) => kind)).toEqual(['added', 'updated'])
    await stream.cancel()
    expect(server.hub.stats()).toMatchObject({ watching: 0 })

    const { asset: two } = await upload(server.app, await picture(2))
    const again = listen(
      await server.events('?since=0', { ...asAdmin, 'Last-Event-ID': stream.heard.changes[1]?.cursor ?? '' }),
    )
    await again.until(() => again.heard.changes.length === 1)
    expect(again.heard.changes[0]?.asset_id).toBe(two.id)
    await again.cancel()
  })

  it('hears a change that no notice told of', async () => {
    await using server = await open()
    const { asset } = await upload(server.app, await picture(1))
    const stream = listen(await server.events(`?since=${Date.now() + 1000}`))
    await stream.until(() => stream.heard.comments > 0)
    // As another instance would: only the row.
    await server.metadata.transaction((t) =>
      t.insertInto('changes').values({ owner: 'admin', asset_id: asset.id, kind: 'updated', at: Date.now() }).execute(),
    )
    await stream.until(() => stream.heard.changes.length === 1)
    expect(stream.heard.changes[0]?.asset_id).toBe(asset.id)
    await stream.cancel()
  })

  it('says that it lives, and moves the id of who has nothing to hear', async () => {
    await using server = await open({}, { heartbeatMs: 20 })
    const other = await asOwner(server.app, 'idle')
    const stream = listen(await server.events('', other))
    await stream.until(() => stream.heard.comments >= 2)
    const [first] = stream.heard.ids
    await upload(server.app, await picture(1))
    await stream.until(() => stream.heard.ids.at(-1) !== first)
    expect(stream.heard.changes).toEqual([])
    await stream.cancel()
  })

  it('has so many places for one owner and for all, and gives them back', async () => {
    await using server = await open({ maxWatchers: 3, maxWatchersOfOwner: 2 })
    const other = await asOwner(server.app, 'someone')
    const streams = [await server.events(), await server.events()].map(listen)
    const third = await server.events()
    expect([third.status, third.headers.get('Retry-After')]).toEqual([429, '10'])
    const others = listen(await server.events('', other))
    const full = await server.events('', await asOwner(server.app, 'late'))
    expect([full.status, full.headers.get('Retry-After')]).toEqual([503, '10'])
    for (const stream of [...streams, others]) await stream.cancel()
    expect(server.hub.stats()).toMatchObject({ watching: 0, refused: 2 })
    await listen(await server.events()).cancel()
  })

  it('ends with the process, and after its life', async () => {
    await using server = await open()
    const stream = listen(await server.events())
    await stream.until(() => stream.heard.comments > 0)
    server.hub.end()
    await stream.until(() => false)
    expect(stream.heard.ended).toBe(true)
    expect((await server.events()).status).toBe(503)

    await using brief = await open({}, { heartbeatMs: 5, lifetimeMs: 20 })
    const short = listen(await brief.events())
    await short.until(() => false)
    expect(short.heard.ended).toBe(true)
  })

  it('ends after its life also where nobody reads, and closes the connection a heartbeat later', async () => {
    await using server = await open({}, { heartbeatMs: 50, lifetimeMs: 20 })
    for (const seed of [1, 2, 3]) await upload(server.app, await picture(seed))
    const closed = Promise.withResolvers<void>()
    const outgoing = { destroy: () => closed.resolve() }
    const response = await server.events('', asAdmin, 'GET', { outgoing })
    await expect.poll(() => server.hub.stats().watching).toBe(0)
    await closed.promise
    await response.body?.cancel()
  })

  it('answers a wrong position with a status, before it begins', async () => {
    await using server = await open()
    expect((await server.events('?since=nonsense')).status).toBe(400)
    const head = await server.events('', asAdmin, 'HEAD')
    expect([head.status, head.body]).toEqual([200, null])
    expect((await server.events('', { ...asAdmin, 'Last-Event-ID': 'nonsense' })).status).toBe(400)
    expect(server.hub.stats()).toMatchObject({ watching: 0 })
  })
})
