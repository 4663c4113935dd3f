/** Two processes over one PostgreSQL: what one does, a device hears of from the other. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describePostgres, startPostgres } from '../engines/postgres.ts'
import { until } from '../fixtures/until.ts'
import { follow } from './follow.ts'
import { type Origin, startOrigin } from './origin.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))

describePostgres('sync and edge logs of two origins over one database', () => {
  const opened = new AsyncDisposableStack()
  let here: Origin
  let there: Origin
  beforeAll(async () => {
    const cluster = opened.use(await startPostgres())
    const env = {
      ORIEL_DATABASE: await cluster.createDatabase(),
      ORIEL_SIGNING_KEYS: 'a:0123456789abcdef0123456789abcdef',
    }
    here = opened.use(await startOrigin({ env }))
    there = opened.use(await startOrigin({ env }))
  })
  // Also what was opened before something would not open.
  afterAll(() => opened.disposeAsync())

  it('tells on one what happens on the other, and goes on there with the cursor of the first', async () => {
    const device = await follow(there, '')
    const asset = await here.upload(photo)
    await until(() => device.changes.length === 1)
    await here.api(`/assets/${asset.id}`, { method: 'DELETE' })
    await until(() => device.changes.length === 2)
    expect(device.changes.map(({ kind, asset_id }) => [kind, asset_id])).toEqual([
      ['added', asset.id],
      ['deleted', asset.id],
    ])
    device.stop()
    const moved = await follow(here, '', device.changes[0]?.cursor)
    await until(() => moved.changes.length === 1)
    expect(moved.changes[0]?.cursor).toBe(device.changes[1]?.cursor)
    moved.stop()
  })

  it('counts a batch once, whichever origin it is sent to again', async () => {
    const body = JSON.stringify({ time: new Date().toISOString(), status: 200, hash: 'ab'.repeat(32) })
    const headers = { 'Content-Type': 'application/x-ndjson', 'Idempotency-Key': 'one' }
    const answers = await Promise.all(
      [here, there].map((origin) => origin.api('/events', { method: 'POST', headers, body })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 202])
  })
})
