/** As a device, an edge and a client do it: over real connections to a real process. */
import { createHash, createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../fixtures/until.ts'
import { type Change, follow } from './follow.ts'
import { type Origin, startOrigin } from './origin.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))

describe('sync, claims, quotas and edge logs of a real process', () => {
  let origin: Origin
  beforeAll(async () => {
    origin = await startOrigin({ env: { ORIEL_LIMIT_PRECHECKS: '5/3600' } })
  })
  afterAll(() => origin[Symbol.asyncDispose]())

  const watching = async () =>
    Number(/^oriel_sync_watching (\d+)$/m.exec(await (await fetch(`${origin.url}/metrics`)).text())?.[1])

  it('tells a device that follows, and one that was away', async () => {
    const following = await follow(origin, '')
    expect(following.response.headers.get('Content-Type')).toContain('text/event-stream')
    const asset = await origin.upload(photo)
    await until(() => following.changes.length === 1)
    following.stop()
    await until(async () => (await watching()) === 0)
    expect(await watching()).toBe(0)

    await origin.api(`/assets/${asset.id}`, { method: 'DELETE' })
    await origin.api(`/assets/${asset.id}/restore`, { method: 'POST' })
    const back = await follow(origin, '?since=0', following.changes[0]?.cursor)
    await until(() => back.changes.length === 2)
    expect(back.changes.map(({ kind, asset_id }) => [kind, asset_id])).toEqual([
      ['deleted', asset.id],
      ['added', asset.id],
    ])
    back.stop()
    const page = (await (await origin.api('/sync?limit=1')).json()) as { changes: Change[]; has_more: boolean }
    expect(page).toMatchObject({ has_more: true, changes: [{ kind: 'added', asset: { id: asset.id } }] })
  })

  it('gives a stranger an asset for a proof, within his quota', async () => {
    const made = await origin.api('/internal/keys', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ owner: 'stranger', name: 'n' }),
    })
    const { key } = (await made.json()) as { key: string }
    const call = (path: string, body: object) =>
      origin.api(path, {
        method: 'POST',
        headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
    const about = { sha256: createHash('sha256').update(photo).digest('hex'), size: photo.length }
    const { challenge } = (await (await call('/assets/precheck', about)).json()) as { challenge: { nonce: string } }
    const proof = createHmac('sha256', challenge.nonce).update(photo).digest('hex')
    const claimed = await call('/images/claim', { ...about, nonce: challenge.nonce, proof })
    expect([claimed.status, claimed.headers.get('RateLimit')]).toEqual([201, expect.stringContaining('"claims"')])
    const asked = await Promise.all(Array.from({ length: 6 }, () => call('/assets/precheck', about)))
    expect(asked.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 429, 429])
  })

  it('takes the log of an edge, and refuses a bomb on the same connection', async () => {
    const line = `${JSON.stringify({ time: new Date().toISOString(), status: 200, hash: 'ab'.repeat(32) })}\n`
    const post = (body: Uint8Array<ArrayBuffer>) =>
      origin.api('/events', {
        method: 'POST',
        headers: { 'Content-Type': 'application/x-ndjson', 'Content-Encoding': 'gzip', 'Idempotency-Key': 'one' },
        body,
      })
    const batch = new Uint8Array(gzipSync(line.repeat(3)))
    const answers = [await post(batch), await post(batch)]
    expect(answers.map(({ status }) => status)).toEqual([202, 200])
    expect(await answers[1]?.json()).toEqual({ accepted: 3, rejected: 0, errors: [] })
    expect((await post(new Uint8Array(gzipSync(Buffer.alloc(70 * 2 ** 20))))).status).toBe(413)
    const document = (await (await fetch(`${origin.url}/openapi.json`)).json()) as { paths: object }
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/sync', '/sync/events', '/events', '/assets/claim', '/images/claim']),
    )
  })

  it('ends streams with the process, and cuts none', async () => {
    const following = await follow(origin, '')
    await until(() => following.changes.length > 0)
    const [code, ended] = await Promise.all([origin.stop(), following.ended])
    expect([code, ended]).toEqual([0, 'whole'])
  })
})
