/** Real origins on a real S3 store, PostgreSQL and Redis: whatever is done at one holds at every other from the moment it was answered. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keysIn } from '../blobs/s3-fixture.ts'
import { nginxThere, PURGE_KEY, startNginx } from '../engines/nginx.ts'
import { ask } from '../engines/postgres.ts'
import { type Stack, stackIsHere, startStack } from '../engines/stack.ts'
import { picture } from '../fixtures/write-path.ts'
import { type AssetJson, json, type Origin, startOrigin } from './origin.ts'
import { expectOneRender, timesLate } from './redis-in-time.ts'

const bytesOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer())
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('base64')
const JPEG = { 'Content-Type': 'image/jpeg' }
const patched = (change: object) => ({
  method: 'PATCH',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(change),
})

/** What each origin answers to one path, asked of all at the same moment. */
const statuses = async (origins: readonly Origin[], path: string, init?: RequestInit): Promise<readonly number[]> =>
  Promise.all(
    origins.map(async ({ url }) => {
      const answer = await fetch(url + path, init)
      await answer.arrayBuffer()
      return answer.status
    }),
  )

/**
 * Does it, and asks all origins at once for what is seen of it. One that did not hear of it within half a second, on a machine that stands
 * still, hears of it later (DESIGN.md, "Several origins").
 * @returns whether all had heard of it when it was answered.
 */
const expectEverywhere = async (
  origins: readonly Origin[],
  path: string,
  status: number,
  change: () => Promise<Response>,
): Promise<boolean> => {
  const late = await timesLate(origins)
  expect((await change()).ok).toBe(true)
  const seen = await statuses(origins, path)
  const all = origins.map(() => status)
  const heard = (await timesLate(origins)) === late
  if (heard) expect(seen).toEqual(all)
  else await expect.poll(() => statuses(origins, path)).toEqual(all)
  return heard
}

/** A picture that no other test has, and that every origin has served: each remembers who may see it. */
const shown = async (stack: Stack, seed: number) => {
  const [first] = stack.origins
  if (!first) throw new Error('no origin')
  const asset = await first.upload(await picture(seed, 400, 300))
  const path = `/i/${asset.hash}/320x.webp`
  // The second time from memory: what a forgotten notice would let through.
  for (let turn = 0; turn < 2; turn += 1)
    expect(await statuses(stack.origins, path)).toEqual(stack.origins.map(() => 200))
  return { ...asset, path }
}

describe.runIf(stackIsHere('origins on S3, PostgreSQL and Redis'))(
  'four origins on one S3, PostgreSQL and Redis',
  () => {
    let stack: Stack
    beforeAll(async () => {
      stack = await startStack({ origins: 4, env: { ORIEL_RENDERERS: '1' } })
      await stack.sharing()
    })
    afterAll(() => stack?.[Symbol.asyncDispose]())

    it('list, change and end at one what was uploaded at another, and send it from each', async () => {
      const [a, b, c, d] = stack.origins as readonly [Origin, Origin, Origin, Origin]
      const bytes = await picture(1, 400, 300)
      const { id, hash } = await a.upload(bytes)
      const listed = await json<{ items: readonly AssetJson[] }>(await b.api('/assets?limit=100'))
      expect(listed.items.map((asset) => asset.id)).toContain(id)
      for (const { url } of stack.origins) {
        expect((await bytesOf(await fetch(`${url}/i/${hash}/original`))).equals(bytes)).toBe(true)
        const variant = await fetch(`${url}/i/${hash}/320x.webp`)
        expect(variant.headers.get('repr-digest')).toBe(`sha-256=:${sha256(await bytesOf(variant))}:`)
      }
      expect((await c.api(`/assets/${id}`, patched({ title: 'of c' }))).status).toBe(200)
      expect(await json(await d.api(`/assets/${id}`))).toMatchObject({ title: 'of c', hash })
      const path = `/i/${hash}/320x.webp`
      await expectEverywhere(stack.origins, path, 410, () => d.api(`/assets/${id}`, { method: 'DELETE' }))
      await expectEverywhere(stack.origins, path, 200, () => a.api(`/assets/${id}/restore`, { method: 'POST' }))
    })

    it('hide everywhere what one was told to hide, from the moment it has answered, whoever is told', async () => {
      const { origins } = stack
      const heard: boolean[] = []
      for (const [at, origin] of origins.entries()) {
        const [one, two] = [await shown(stack, 10 + at), await shown(stack, 20 + at)]
        const remove = () => origin.api(`/assets/${one.id}`, { method: 'DELETE' })
        const hide = () => origin.api(`/assets/${two.id}`, patched({ visibility: 'private' }))
        heard.push(await expectEverywhere(origins, one.path, 410, remove))
        heard.push(await expectEverywhere(origins, two.path, 404, hide))
      }
      expect(heard).toContain(true)
    })

    it('take one another’s signatures', async () => {
      const [a, b] = stack.origins as readonly [Origin, Origin]
      const { id } = await a.upload(await picture(30), 'image/jpeg', '?visibility=private')
      const { url } = await json<{ url: string }>(await b.api(`/assets/${id}/variants/thumb`))
      expect(await statuses(stack.origins, url.slice(url.indexOf('/i/')))).toEqual([200, 200, 200, 200])
    })

    it('render once what 400 ask of four of them at the same moment', async () => {
      const [a] = stack.origins as readonly [Origin]
      const { hash } = await a.upload(await picture(31, 1600, 1200))
      const paths = ['640x.webp', '750x.webp', '828x.webp'].map((name) => `/i/${hash}/${name}`)
      await expectOneRender(stack.origins, paths, async (path) => {
        const answers = await Promise.all(
          Array.from({ length: 400 }, async (_, at) => {
            const answer = await fetch(`${stack.origins[at % 4]?.url}${path}`)
            return `${answer.status} ${sha256(await bytesOf(answer))}`
          }),
        )
        expect(new Set(answers).size).toBe(1)
        expect(answers[0]).toMatch(/^200 /)
      })
    })

    it('keep one original and count every asset, when one picture is uploaded to all of them at once', async () => {
      const bytes = await picture(32, 400, 300)
      const made = await Promise.all(Array.from({ length: 24 }, (_, at) => stack.origin(at % 4).upload(bytes)))
      const hash = made[0]?.hash ?? ''
      expect(new Set(made.map((asset) => asset.hash))).toEqual(new Set([hash]))
      expect(new Set(made.map((asset) => asset.id)).size).toBe(24)
      expect(made.filter((asset) => !asset.deduplicated)).toHaveLength(1)
      expect((await keysIn(stack.ceph, stack.bucket)).filter((key) => key.endsWith(`/${hash}`))).toHaveLength(1)
      const [row] = await ask<{ n: string }>(
        stack.database,
        `select count(*) as n from originals where digest = '${hash}'`,
      )
      expect(Number(row?.n)).toBe(1)
    })

    it('make one asset of one Idempotency-Key, whichever of them is asked again, at once or later', async () => {
      const body = await picture(33)
      const send = (at: number, bytes: Uint8Array<ArrayBuffer>) =>
        stack.origin(at % 4).api('/assets/upload', {
          method: 'POST',
          headers: { ...JPEG, 'Idempotency-Key': 'across-origins' },
          body: bytes,
        })
      const answers = await Promise.all(Array.from({ length: 8 }, (_, at) => send(at, body)))
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 200, 200, 201])
      const ids = await Promise.all(answers.map(async (answer) => (await json<AssetJson>(answer)).id))
      expect(new Set(ids).size).toBe(1)
      expect((await json<AssetJson>(await send(3, body))).id).toBe(ids[0])
      expect((await send(2, await picture(34))).status).toBe(422)
    })

    it('know a new API key at once, and none knows it any more once it is revoked', async () => {
      const made = await stack.origin(0).api('/internal/keys', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ owner: 'shop', name: 'across origins' }),
      })
      const { id, key } = await json<{ id: string; key: string }>(made)
      const asShop = { headers: { Authorization: `Bearer ${key}` } }
      for (let turn = 0; turn < 2; turn += 1)
        expect(await statuses(stack.origins, '/assets', asShop)).toEqual([200, 200, 200, 200])
      expect((await stack.origin(2).api(`/internal/keys/${id}`, { method: 'DELETE' })).ok).toBe(true)
      expect(await statuses(stack.origins, '/assets', asShop)).toEqual([401, 401, 401, 401])
    })

    it('go on without one, which knows all when it is back', async () => {
      const kept = await shown(stack, 40)
      await stack.stop(3, 'SIGKILL')
      const { hash } = await stack.origin(0).upload(await picture(41, 400, 300))
      const remove = () => stack.origin(1).api(`/assets/${kept.id}`, { method: 'DELETE' })
      await expectEverywhere(stack.origins, kept.path, 410, remove)
      await stack.start(3)
      await stack.sharing()
      expect(await statuses(stack.origins, kept.path)).toEqual([410, 410, 410, 410])
      expect(await statuses(stack.origins, `/i/${hash}/320x.webp`)).toEqual([200, 200, 200, 200])
      expect(await stack.origin(2).stop('SIGTERM')).toBe(0)
      await stack.start(2)
      await stack.sharing()
      expect(await statuses(stack.origins, kept.path)).toEqual([410, 410, 410, 410])
    })

    it.runIf(nginxThere)('have their edge forget what any of them was told to hide', async () => {
      const [a] = stack.origins as readonly [Origin]
      await using edge = await startNginx({
        origins: stack.origins.map(({ url }) => `server ${new URL(url).host} max_fails=3 fail_timeout=1s;`),
      })
      // Another origin of the same engines, that knows the edge.
      await using telling = await startOrigin({
        env: { ...stack.env, ORIEL_EDGE_PURGE: `${edge.url}/purge`, ORIEL_EDGE_PURGE_KEY: PURGE_KEY },
      })
      // The next picture only where one of them did not confirm in its time: then it hears of it later.
      for (const seed of [50, 51, 52]) {
        const asset = await a.upload(await picture(seed, 400, 300))
        const path = `${edge.url}/i/${asset.hash}/320x.webp`
        for (let turn = 0; turn < 2; turn += 1) await bytesOf(await fetch(path))
        expect((await fetch(path)).headers.get('cache-status')).toContain('oriel-edge; hit')
        const answer = await telling.api(`/assets/${asset.id}`, { method: 'DELETE' })
        const { purge } = await json<{ purge: { tiers: Record<string, string> } }>(answer)
        const status = async () => (await fetch(path)).status
        expect(Object.keys(purge.tiers)).toEqual(expect.arrayContaining(['instances', `${edge.url}/purge`]))
        if (Object.values(purge.tiers).every((outcome) => outcome === 'confirmed'))
          return expect(await status()).toBe(410)
        await expect.poll(status).toBe(410)
      }
      throw new Error('no delete was confirmed by all: nothing is proven')
    })
  },
)
