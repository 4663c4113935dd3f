/**
 * Two real origins that send their events to one ClickHouse server, for which chDB behind ClickHouse's HTTP protocol stands in
 * (no current server binary is to be had on the build machine).
 */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ClickHouseStandIn, startClickHouse } from '../engines/clickhouse.ts'
import { metric } from './metric.ts'
import { json, type Origin, startOrigin } from './origin.ts'

const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))

interface Answer {
  readonly rows: readonly { readonly referrer: string; readonly requests: number }[]
  readonly complete: boolean
}

const opened = new AsyncDisposableStack()
let server: ClickHouseStandIn | undefined
let hash = ''

const start = async (): Promise<Origin> => {
  const origin = await startOrigin({ env: { ORIEL_CLICKHOUSE: server?.url ?? '', ORIEL_RENDERERS: '1' } })
  ;({ hash } = await origin.upload(photo))
  return origin
}

beforeAll(async () => {
  server = await startClickHouse()
  if (server) opened.use(server)
})
afterAll(() => opened.disposeAsync())

/** So many image requests that a question can tell from the others by their page. */
const request = async ({ url }: { readonly url: string }, page: string, count: number): Promise<void> => {
  const headers = { Referer: `https://${page}.example/` }
  const ask = async () => {
    const answer = await fetch(`${url}/i/${hash}/320x.webp`, { headers })
    await answer.arrayBuffer()
    expect(answer.status).toBe(200)
  }
  for (let at = 0; at < count; at += 10) await Promise.all(Array.from({ length: Math.min(10, count - at) }, ask))
}

/** What the origin counts for a page, with all that it recorded. */
const counted = async (origin: Origin, page: string): Promise<number | string> => {
  const answer = await origin.api('/analytics/summary?group_by=referrer')
  if (answer.status !== 200) return `${answer.status}`
  const { rows, complete } = await json<Answer>(answer)
  return complete ? (rows.find(({ referrer }) => referrer === `${page}.example`)?.requests ?? 0) : 'incomplete'
}
const PATIENT = { timeout: 60_000, interval: 250 }
const inserts = ({ path }: { readonly path: string }) => decodeURIComponent(path).includes('INSERT')

it('counts in one table what several origins recorded', async (context) => {
  if (!server) return context.skip()
  await using here = await start()
  await using there = await start()
  await Promise.all([request(here, 'both', 30), request(there, 'both', 12)])
  // A question waits for the events of the origin that is asked; the other sends its own every two seconds.
  await expect.poll(() => counted(here, 'both'), PATIENT).toBe(42)
  expect(await counted(there, 'both')).toBe(42)
})

it('serves and keeps events through an outage, also those of an origin killed in it, and counts each once', async (context) => {
  if (!server) return context.skip()
  await using here = await start()
  await using there = await start()
  await request(here, 'outage', 1)
  await expect.poll(() => counted(here, 'outage'), PATIENT).toBe(1)
  server.proxy.set({ down: true })
  await Promise.all([request(here, 'outage', 50), request(there, 'outage', 20)])
  expect((await here.api('/analytics/summary')).status).toBe(503)
  const readiness = async () => {
    const answer = await fetch(`${here.url}/readyz`)
    return [answer.status, await json(answer)]
  }
  await expect.poll(readiness, PATIENT).toMatchObject([200, { engines: { analytics: { state: 'degraded' } } }])
  await expect.poll(() => metric(there, 'analytics_recorded_total'), PATIENT).toBe(20)
  expect(await metric(there, 'analytics_spool_bytes')).toBeGreaterThan(0)
  await there.stop('SIGKILL')
  server.proxy.set({})
  await using again = await startOrigin({ data: there.data, env: { ORIEL_CLICKHOUSE: server.url } })
  await expect.poll(() => counted(again, 'outage'), PATIENT).toBe(71)
  expect(await counted(here, 'outage')).toBe(71)
})

it('counts once a batch that was inserted and whose answer was lost, however often it is sent again', async (context) => {
  if (!server) return context.skip()
  await using origin = await start()
  server.proxy.set({ loseAnswer: true, only: inserts, times: 3 })
  await request(origin, 'twice', 40)
  await expect.poll(() => counted(origin, 'twice'), PATIENT).toBe(40)
  expect(server.proxy.done()).toBe(3)
  expect(await metric(origin, 'analytics_insert_failures_total')).toBe(3)
  server.proxy.set({})
  const [row] = await server.rows("SELECT count() AS n FROM delivery_events WHERE referrer_host = 'twice.example'")
  expect(Number(row?.n)).toBe(40)
})
