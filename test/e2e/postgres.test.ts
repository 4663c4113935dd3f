/** Two origin processes over one PostgreSQL and one folder of originals: what one does, the other shows. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describePostgres, type PostgresCluster, startPostgres } from '../engines/postgres.ts'
import { ADMIN_KEY, json, type Origin, startOrigin } from './origin.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))

describePostgres('two origins over one database', () => {
  const opened = new AsyncDisposableStack()
  let cluster: PostgresCluster
  let here: Origin
  let there: Origin
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'oriel-two-'))
    opened.defer(() => rm(folder, { recursive: true, force: true }))
    cluster = opened.use(await startPostgres())
    const env = {
      ORIEL_DATABASE: await cluster.createDatabase(),
      ORIEL_SIGNING_KEYS: 'a:0123456789abcdef0123456789abcdef',
      ORIEL_ANALYTICS: 'off',
    }
    // Each has a data folder of its own; the originals of both are one folder, as on a shared disk.
    await mkdir(join(folder, 'originals'))
    const start = async (name: string) => {
      const data = join(folder, name)
      await mkdir(data)
      await symlink(join(folder, 'originals'), join(data, 'originals'))
      return opened.use(await startOrigin({ data, env }))
    }
    here = await start('here')
    there = await start('there')
  })
  afterAll(() => opened.disposeAsync())

  const ids = async (origin: Origin) => {
    const { items } = await json<{ items: readonly { id: string }[] }>(await origin.api('/assets?limit=200'))
    return items.map(({ id }) => id)
  }
  const image = (origin: Origin, hash: string) => fetch(`${origin.url}/i/${hash}/320x.webp`)

  it('say which engine has their rows', async () => {
    const health = await json<{ engines: Record<string, unknown> }>(await fetch(`${there.url}/readyz`))
    expect(health.engines.metadata).toEqual({ state: 'ready', detail: 'PostgreSQL' })
    expect(await (await fetch(`${here.url}/metrics`)).text()).toMatch(/^oriel_metadata_connections \d/m)
  })

  it('list and serve what the other was given, take its URLs and keys, and know its bytes', async () => {
    // Asked for before it is there: that a hash is unknown is remembered, and must be forgotten too.
    expect((await image(there, createHash('sha256').update(photo).digest('hex'))).status).toBe(404)
    const asset = await here.upload(photo)
    expect(await ids(there)).toContain(asset.id)
    await expect.poll(async () => (await image(there, asset.hash)).status).toBe(200)
    const { signed_url: signed } = await json<{ signed_url: string }>(await here.api(`/assets/${asset.id}`))
    const { pathname, search } = new URL(signed)
    expect((await fetch(there.url + pathname + search)).status).toBe(200)
    expect((await there.upload(photo)).deduplicated).toBe(true)
    const made = await here.api('/internal/keys', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ owner: 'alice', name: 'n' }),
    })
    const { key } = await json<{ key: string }>(made)
    const asAlice = { headers: { Authorization: `Bearer ${key}` } }
    expect((await fetch(`${there.url}/assets`, asAlice)).status).toBe(200)
  })

  it('stop serving what was deleted on the other', async () => {
    const bytes = new Uint8Array([...photo, 1])
    const asset = await here.upload(bytes)
    for (const origin of [here, there]) expect((await image(origin, asset.hash)).status).toBe(200)
    await here.api(`/assets/${asset.id}`, { method: 'DELETE' })
    expect((await image(here, asset.hash)).status).toBe(410)
    await expect.poll(async () => (await image(there, asset.hash)).status).toBe(410)
  })

  it('make one asset of one idempotency key, whichever of them is asked, at once', async () => {
    const before = await ids(here)
    const body = new Uint8Array([...photo, 2])
    const send = async (origin: Origin) => {
      const response = await origin.api('/assets/upload', {
        method: 'POST',
        headers: { 'Content-Type': 'image/jpeg', 'Idempotency-Key': 'the-one' },
        body,
      })
      return { status: response.status, id: (await json<{ id: string }>(response)).id }
    }
    const answers = await Promise.all([here, there, here, there].map(send))
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1)
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 201])
    expect(await ids(there)).toHaveLength(before.length + 1)
  })

  it('wait for a database that restarts: pictures and calls that come meanwhile are late, and all is well after it', async () => {
    const asset = await here.upload(new Uint8Array([...photo, 3]))
    for (const origin of [here, there]) expect((await image(origin, asset.hash)).status).toBe(200)
    await cluster.stop('fast')
    const pictures = Array.from({ length: 50 }, (_, n) => image(n % 2 ? here : there, asset.hash))
    const call = here.api(`/assets/${asset.id}`)
    await cluster.start()
    const statuses = (await Promise.all(pictures)).map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect((await call).status).toBe(200)
    await expect
      .poll(async () => (await there.api(`/assets/${asset.id}`, { method: 'DELETE' })).status)
      .toBeLessThan(300)
    await expect.poll(async () => (await image(here, asset.hash)).status).toBe(410)
  })

  it('tell a client to come back when the database stays away, and nobody its password', async () => {
    await cluster.stop('fast')
    const response = await here.api('/assets')
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThan(0)
    const body = await response.text()
    expect(body).toContain('the database cannot be reached')
    for (const text of [body, here.output()]) {
      expect(text).not.toContain('postgres://')
      expect(text).not.toContain(ADMIN_KEY)
    }
    expect((await fetch(`${here.url}/readyz`)).status).toBe(503)
    await cluster.start()
    await expect.poll(async () => (await fetch(`${here.url}/readyz`)).status).toBe(200)
  })
})
