/** Work after the answer, by a real process: scans that hold, renders ahead, and its own numbers. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { EICAR, startClamdDouble } from '../engines/clamd-double.ts'
import { startReceiver, WEBHOOK_SECRET } from '../engines/receiver.ts'
import { until } from '../fixtures/until.ts'
import { picture } from '../fixtures/write-path.ts'
import { metric } from './metric.ts'
import { startOrigin } from './origin.ts'

it('holds an upload until it is clean, renders it ahead, and never serves what is infected', async () => {
  await using clamd = await startClamdDouble()
  await using origin = await startOrigin({
    env: {
      ORIEL_CLAMD: `tcp://127.0.0.1:${clamd.port}`,
      ORIEL_SCAN: 'hold',
      ORIEL_PREWARM: '32x.webp,@thumb.jpg',
      ORIEL_ANALYTICS: 'off',
    },
  })
  clamd.mood = 'hangs'
  const held = await origin.upload(await picture(1))
  const show = async (hash: string) => (await fetch(`${origin.url}/i/${hash}/original`)).status
  expect(await show(held.hash)).toBe(404)
  const jobs = async (query = '') =>
    ((await (await origin.api(`/internal/jobs${query}`)).json()) as { jobs: { id: number; kind: string }[] }).jobs
  await until(async () => (await jobs('?state=running')).length === 1)
  expect(await jobs()).toMatchObject([{ kind: 'scan', state: 'running', hash: held.hash }])

  // The process is killed in the middle of a scan, and another takes the job when the claim has run out, or at once when told.
  await origin.stop('SIGKILL')
  clamd.mood = 'scans'
  await using again = await startOrigin({
    data: origin.data,
    env: {
      ORIEL_CLAMD: `tcp://127.0.0.1:${clamd.port}`,
      ORIEL_SCAN: 'hold',
      ORIEL_PREWARM: '32x.webp,@thumb.jpg',
      ORIEL_ANALYTICS: 'off',
    },
  })
  const [left] = ((await (await again.api('/internal/jobs')).json()) as { jobs: { id: number }[] }).jobs
  expect((await again.api(`/internal/jobs/${left?.id}/retry`, { method: 'POST' })).status).toBe(204)
  const status = async (hash: string) => (await fetch(`${again.url}/i/${hash}/original`)).status
  await until(async () => (await status(held.hash)) === 200)
  const variants = () => readdir(join(again.data, 'variants', held.hash.slice(0, 2)))
  await until(async () => (await variants()).length === 2)

  const bad = await again.upload(Buffer.concat([await picture(2), Buffer.from(EICAR)]))
  const asset = async () => (await (await again.api(`/assets/${bad.id}`)).json()) as { scan: { state: string } }
  await until(async () => (await asset()).scan.state === 'infected')
  expect(await status(bad.hash)).toBe(404)
  // Counted when the handler has ended, and the asset says it before.
  await until(async () => (await metric(again, 'jobs_scan_done_total')) === 2)
  const metrics = await (await fetch(`${again.url}/metrics`)).text()
  expect(metrics).toMatch(/^oriel_jobs_prewarm_pending \d/m)
  expect(metrics).toMatch(/^# TYPE oriel_jobs_scan_oldest_seconds gauge$/m)
  expect(await (await again.api('/internal/reconcile?dry_run=1', { method: 'POST' })).json()).toMatchObject({
    state: 'done',
    stored: 2,
    rows: 2,
    findings: [],
  })
  expect(await again.stop()).toBe(0)
})

it('tells an application of an upload and of its end, again until it is heard', async () => {
  await using receiver = await startReceiver()
  await using origin = await startOrigin({
    env: { ORIEL_WEBHOOK: receiver.url, ORIEL_WEBHOOK_SECRET: WEBHOOK_SECRET, ORIEL_ANALYTICS: 'off' },
  })
  receiver.status = 503
  const asset = await origin.upload(await picture(1))
  await until(async () => receiver.refused.length > 0)
  receiver.status = 204
  await origin.api(`/assets/${asset.id}`, { method: 'DELETE' })
  await until(async () => receiver.heard.length === 2)
  expect(receiver.heard.map(({ data }) => data.hash)).toEqual([asset.hash, asset.hash])
  // Whichever came last: the first is sent again when it is due, and each says what is so when it is sent.
  const assets = receiver.heard.map(({ data }) => data.assets)
  expect(assets).toContainEqual([expect.objectContaining({ id: asset.id, deleted_at: expect.any(String) })])
  expect(await metric(origin, 'jobs_notify_failed_total')).toBeGreaterThanOrEqual(1)
  expect(origin.output()).not.toContain(WEBHOOK_SECRET)
})
