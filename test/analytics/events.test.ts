import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { readEdgeBatch } from '../../src/analytics/edge-batch.ts'
import { parseEdgeLine } from '../../src/analytics/edge-line.ts'
import { createEventsRoutes } from '../../src/analytics/events-routes.ts'
import { segmentLines } from '../../src/analytics/segment-lines.ts'
import { createInProcessLocker } from '../../src/coordination/in-process.ts'
import { createGuards } from '../../src/http/principal.ts'
import { problemResponse } from '../../src/http/problem.ts'
import { openSqliteMetadata } from '../../src/metadata/sqlite.ts'
import { askUntilComplete, engineRuns, startAnalytics, temporaryFolder } from './harness.ts'
import { createLog, OCCURRENCE, SUBJECT } from './recording-events.ts'

const HASH = 'ab'.repeat(32)
const NOW = Date.parse('2026-11-24T12:00:00Z')

/** As nginx 1.22 writes it with the format of nginx/edge.conf. */
const line = (more: object = {}) =>
  JSON.stringify({
    time: '2026-11-24T11:59:58+00:00',
    seconds: 0.012,
    status: 200,
    bytes_sent: 19_800,
    edge: 'HIT',
    hash: HASH,
    path: `/i/${HASH}/800x600.auto`,
    method: 'GET',
    class: 'avif-d2-slow',
    content_type: 'image/avif',
    user_agent: OCCURRENCE.userAgent,
    referrer: 'https://shop.example.com/p/1',
    client: '203.0.113.77',
    country: 'de',
    ...more,
  })

const now = (more: object = {}) => line({ time: new Date().toISOString(), ...more })

const open = async (budget = 2 ** 30) => {
  const folder = await temporaryFolder()
  const analytics = await startAnalytics({ dataDir: folder.path, log: createLog(), spoolBudgetBytes: budget })
  const metadata = await openSqliteMetadata(join(folder.path, 'oriel.db'))
  const guards = createGuards('the-admin-key', async () => 'someone' as never)
  const { routes, stats } = createEventsRoutes({
    guards,
    metadata,
    locker: createInProcessLocker(),
    importFrames: analytics.importFrames,
  })
  routes.onError((error) => problemResponse(error, 'test'))
  const post = async (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) => {
    const response = await routes.request('/events', {
      method: 'POST',
      headers: { Authorization: 'Bearer the-admin-key', 'Content-Type': 'application/x-ndjson', ...headers },
      body,
    })
    return { status: response.status, json: (await response.json()) as Record<string, unknown> }
  }
  return {
    analytics,
    stats,
    post,
    [Symbol.asyncDispose]: async () => {
      await metadata[Symbol.asyncDispose]()
      await analytics.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

describe('a line of an edge’s log', () => {
  it.for([
    [{}, { askedWidth: 800, askedHeight: 600, formatAsked: 'auto', formatServed: 'avif', dpr: 2, slowNetwork: true }],
    [
      { path: `/i/${HASH}/autox.jpg`, class: '' },
      { askedWidth: 0, formatAsked: 'jpeg', dpr: 1, slowNetwork: false },
    ],
    [{ path: `/i/${HASH}/x90.webp` }, { askedWidth: 0, askedHeight: 90, formatAsked: 'webp' }],
    [{ path: `/i/${HASH}/@thumb.png` }, { formatAsked: 'png' }],
    [
      { path: `/i/${HASH}/original`, content_type: 'image/svg+xml' },
      { formatAsked: 'original', formatServed: 'svg' },
    ],
    [
      { path: `/i/${HASH}/what ever`, hash: '' },
      { hash: HASH, formatAsked: '' },
    ],
  ] as const)('says what was asked for: %j', ([more, expected]) => {
    expect(parseEdgeLine(line(more), NOW).subject).toMatchObject({ hash: HASH, ...expected })
  })

  it.for([
    ['{"time":', 'not JSON'],
    ['[]', 'expected object'],
    [line({ time: 'yesterday' }), 'time'],
    [line({ time: '2020-01-01T00:00:00Z' }), '400 days'],
    [line({ time: '2026-12-24T00:00:00Z' }), 'future'],
    [line({ status: 7 }), 'status'],
    [line({ bytes_sent: -1 }), 'bytes_sent'],
    [line({ hash: 'x', path: '/docs' }), '/docs'],
  ] as const)('is refused with a reason: %s', ([text, reason]) => {
    expect(() => parseEdgeLine(text, NOW)).toThrow(reason)
  })
})

describe('a batch of lines', () => {
  it('becomes events in the order of their own time, clients cut to a neighbourhood', async () => {
    const body = Buffer.from(
      [line({ time: '2026-11-24T11:59:59.5Z' }), '', line(), 'x', 'y'.repeat(20_000)].join('\r\n'),
    )
    const batch = await readEdgeBatch(body, NOW)
    expect(batch).toMatchObject({ accepted: 2, rejected: 2 })
    expect(batch.errors.map((error) => error.line)).toEqual([4, 5])
    let text = ''
    for await (const part of segmentLines(Buffer.from(batch.frames))) text += part
    const rows = text.trim().split('\n').slice(1)
    expect(rows.map((row) => Number(row.split('\t')[0]) - NOW)).toEqual([-2000, -500])
    expect(rows[0]).toContain('203.0.113.0/24')
    expect(rows[0]).toContain('\tedge\t200\t19800\t')
    expect(rows[0]).toContain('shop.example.com')
  })

  it('is as many frames as it needs, and names only the first faults', async () => {
    const lines = Array.from({ length: 9000 }, (_, n) => (n % 3 ? line({ bytes_sent: n }) : 'bad'))
    const batch = await readEdgeBatch(Buffer.from(lines.join('\n')), NOW)
    expect([batch.accepted, batch.rejected, batch.errors.length]).toEqual([6000, 3000, 20])
    let count = -1
    for await (const part of segmentLines(Buffer.from(batch.frames))) count += part.toString().split('\n').length - 1
    expect(count).toBe(6000)
  })

  it('knows the devices of many User-Agents', async () => {
    const lines = Array.from({ length: 1500 }, (_, n) => line({ user_agent: `curl/8.${n}` }))
    const { frames, agentsSkipped } = await readEdgeBatch(Buffer.from(lines.join('\n')), NOW)
    expect(agentsSkipped).toBe(0)
    let text = ''
    for await (const part of segmentLines(Buffer.from(frames))) text += part
    expect(text.match(/\tbot\t/g)?.length).toBe(1500)
  })

  it('has a bound', async () => {
    await expect(readEdgeBatch(Buffer.alloc(100_001, '\n'), NOW)).rejects.toMatchObject({ kind: 'too-large' })
  })
})

describe('POST /events', () => {
  it('takes plain and compressed batches, and says which lines were bad', async () => {
    await using server = await open()
    expect(await server.post(`${now()}\nnonsense\n${now()}`)).toEqual({
      status: 202,
      json: { accepted: 2, rejected: 1, errors: [{ line: 2, reason: 'line: not JSON' }] },
    })
    // As nginx writes a log with gzip=1: one member for each flush.
    const members = Buffer.concat([gzipSync(`${now()}\n`), gzipSync(`${now()}\n`)])
    const answer = await server.post(new Uint8Array(members), { 'Content-Encoding': 'gzip' })
    expect(answer.json).toMatchObject({ accepted: 2, rejected: 0 })
    expect(server.stats).toMatchObject({ batches: 2, accepted: 4, rejected: 1, running: 0 })
  })

  it('counts a batch once under its key, also when two come at once', async () => {
    await using server = await open()
    const body = now()
    const key = { 'Idempotency-Key': 'batch-1' }
    const answers = await Promise.all([server.post(body, key), server.post(body, key)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 202])
    expect(answers[0]?.json).toEqual(answers[1]?.json)
    expect(server.stats).toMatchObject({ batches: 1, replayed: 1 })
    expect((await server.post(`${body}\n${body}`, key)).status).toBe(422)
    expect((await server.post(body, { 'Idempotency-Key': 'batch-2' })).status).toBe(202)
  })

  it('is bounded, and only for the admin', async () => {
    await using server = await open()
    const bomb = gzipSync(Buffer.alloc(70 * 2 ** 20, 'x'))
    expect((await server.post(new Uint8Array(bomb), { 'Content-Encoding': 'gzip' })).status).toBe(413)
    expect((await server.post(new Uint8Array(17 * 2 ** 20))).status).toBe(413)
    expect((await server.post(new Uint8Array(bomb.subarray(0, 100)), { 'Content-Encoding': 'gzip' })).status).toBe(400)
    expect((await server.post('{}', { 'Content-Type': 'text/plain' })).status).toBe(415)
    expect((await server.post('{}', { 'Content-Encoding': 'br' })).status).toBe(415)
    expect((await server.post('{}', { Authorization: 'Bearer another' })).status).toBe(403)
    expect((await server.post('{}', { Authorization: '' })).status).toBe(401)
  })

  it('keeps nothing of a batch for which there is no room, and says so', async () => {
    await using server = await open(100)
    const { status, json } = await server.post(now(), { 'Idempotency-Key': 'k' })
    expect([status, json.detail]).toEqual([503, expect.stringContaining('spool')])
    expect(server.analytics.stats.spool.bytes).toBe(0)
    expect(server.stats).toMatchObject({ batches: 0, running: 0 })
  })

  it.runIf(engineRuns)('lets analysts tell the edge’s traffic from the origin’s', async () => {
    await using server = await open()
    const { recorder } = server.analytics
    recorder.record(recorder.prepare(SUBJECT), OCCURRENCE)
    await server.post([now(), now({ edge: 'MISS' }), now({ status: 404 })].join('\n'))
    const tiers = await askUntilComplete(server.analytics, { group_by: 'tier', order: 'tier' })
    expect(tiers.rows.map((row) => [row.tier, row.requests])).toEqual([
      ['edge', 3],
      ['memory', 1],
    ])
    const edge = await askUntilComplete(server.analytics, { layer: 'edge', group_by: 'class,dpr' })
    expect(edge.rows).toMatchObject([{ class: 'avif-d2-slow', dpr: 2, requests: 3, errors: 1, bytes_saved: 0 }])
    expect((await askUntilComplete(server.analytics, { layer: 'origin' })).rows).toMatchObject([{ requests: 1 }])
  })
})
