import { copyFile, mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startChdb } from '../../src/analytics/chdb-process.ts'
import { DIMENSION_NAMES } from '../../src/analytics/dimensions.ts'
import { encodeFrame } from '../../src/analytics/frame.ts'
import { AppError } from '../../src/core/errors.ts'
import type { EventSubject } from '../../src/core/event.ts'
import { BEHIND_ANSWERS } from '../../src/core/niceness.ts'
import { threadNiceness } from '../fixtures/thread-niceness.ts'
import { ask, askUntilComplete, engineRuns, readRows, startAnalytics, temporaryFolder } from './harness.ts'
import { createLog, OCCURRENCE, SUBJECT } from './recording-events.ts'

const ODD = [
  '',
  'plain',
  'tab\there',
  'line\nbreak\r\n',
  `quotes ' " \` and \\backslash\\`,
  '\\N',
  'null\0byte and \x01\x1b',
  'Zürich 東京 🖼️ é',
  "'); DROP TABLE delivery_events; --",
  '{from:Int64}',
  'lone \ud800 surrogate',
  'x'.repeat(256),
]

describe.runIf(engineRuns)('analytics on the embedded engine', () => {
  it('gives rows back exactly as recorded, however odd the text', async () => {
    await using folder = await temporaryFolder()
    const analytics = await startAnalytics({ dataDir: folder.path, log: createLog() })
    for (const text of ODD) {
      const odd = { hash: text, owner: text, variantClass: text, formatServed: text }
      analytics.recorder.record(analytics.recorder.prepare({ ...SUBJECT, ...odd }), {
        ...OCCURRENCE,
        userAgent: text.repeat(100),
        referrer: `https://${text}/`,
        country: text,
        clientAddress: text,
      })
    }
    const summary = await ask(analytics, { group_by: 'hash' })
    expect(summary.complete).toBe(true)
    expect(analytics.stats).toMatchObject({ accepted: ODD.length, recorded: ODD.length, insertedRows: ODD.length })
    await analytics.close()
    const rows = await readRows(folder.path, 'SELECT hash, owner, class, format_served FROM delivery_events')
    const expected = ODD.map((text) => text.toWellFormed())
    for (const column of ['hash', 'owner', 'class', 'format_served'])
      expect(rows.map((row) => row[column]).toSorted()).toEqual(expected.toSorted())
  })

  it('keeps every column of an event', async () => {
    await using folder = await temporaryFolder()
    const analytics = await startAnalytics({ dataDir: folder.path, log: createLog() })
    const subject: EventSubject = { ...SUBJECT, slowNetwork: true, dpr: 1.5, formatAsked: 'webp' }
    const occurrence = { ...OCCURRENCE, tier: 'render', queueMs: 1.25, renderMs: 35.5, totalMs: 12_345.678 } as const
    const before = Date.now()
    analytics.recorder.record(analytics.recorder.prepare(subject), occurrence)
    // What must never be, and must not cost the other events of its segment if it is.
    analytics.recorder.record(
      analytics.recorder.prepare({ ...SUBJECT, askedWidth: -1, dpr: Number.NaN, originalBytes: 1e300 }),
      {
        ...OCCURRENCE,
        status: Number.NaN,
        bytesSent: Number.POSITIVE_INFINITY,
        totalMs: -5,
        renderMs: Number.NaN,
      },
    )
    await ask(analytics, {})
    await analytics.close()
    const [row, wild] = await readRows(
      folder.path,
      'SELECT *, toUnixTimestamp64Milli(time) AS ms FROM delivery_events ORDER BY tier DESC',
    )
    expect(row).toMatchObject({
      hash: SUBJECT.hash,
      owner: 'acme',
      asked_width: 800,
      asked_height: 600,
      served_width: 800,
      served_height: 533,
      format_asked: 'webp',
      format_served: 'avif',
      class: 'avif-w800-d2',
      tier: 'render',
      status: 200,
      queue_ms: 1.25,
      render_ms: 35.5,
      total_ms: 12_345.678,
      device: 'desktop',
      browser: 'Firefox',
      os: 'Linux',
      dpr: 1.5,
      slow_network: true,
      referrer_host: 'shop.example.com',
      country: 'DE',
      client_prefix: '203.0.113.0/24',
    })
    expect([Number(row?.bytes_sent), Number(row?.bytes_original)]).toEqual([20_000, 2_345_678])
    expect(Number(row?.ms)).toBeGreaterThanOrEqual(before)
    expect(wild).toMatchObject({ asked_width: 0, dpr: 0, status: 0, total_ms: 0, render_ms: 0, tier: 'memory' })
  })

  it('answers by every dimension and filter, counts right, and takes no SQL from values', async () => {
    await using folder = await temporaryFolder()
    await using analytics = await startAnalytics({ dataDir: folder.path, log: createLog() })
    const { recorder } = analytics
    const picture = recorder.prepare({ ...SUBJECT, originalBytes: 100_000 })
    const robot = recorder.prepare({ ...SUBJECT, owner: "o'brien", slowNetwork: true, originalBytes: 100_000 })
    for (let i = 0; i < 6; i++) recorder.record(picture, { ...OCCURRENCE, totalMs: i })
    recorder.record(picture, { ...OCCURRENCE, tier: 'render', queueMs: 2, renderMs: 40, totalMs: 45 })
    recorder.record(picture, { ...OCCURRENCE, tier: 'render', queueMs: 4, renderMs: 60, totalMs: 70 })
    recorder.record(picture, { ...OCCURRENCE, tier: 'none', status: 304, bytesSent: 0 })
    recorder.record(robot, { ...OCCURRENCE, tier: 'none', status: 503, bytesSent: 100, userAgent: 'curl/8.0' })

    for (const name of DIMENSION_NAMES) {
      const { rows, total } = await ask(analytics, { group_by: name })
      expect(
        rows.reduce((sum, row) => sum + Number(row.requests), 0),
        name,
      ).toBe(10)
      expect(total?.requests, name).toBe(10)
    }
    const { rows } = await ask(analytics, {})
    expect(rows).toEqual([
      expect.objectContaining({
        requests: 10,
        bytes_sent: 160_100,
        bytes_original: 1_000_000,
        bytes_saved: 640_000,
        hits: 6,
        hit_ratio: 0.75,
        renders: 2,
        errors: 1,
        avg_queue_ms: 3,
        avg_render_ms: 50,
      }),
    ])
    const requests = async (filter: Record<string, string>) => (await ask(analytics, filter)).rows[0]?.requests
    expect(await requests({ owner: "o'brien" })).toBe(1)
    expect(await requests({ owner: "' OR 1=1 --" })).toBe(0)
    expect(await requests({ owner: '\\' })).toBe(0)
    expect(await requests({ owner: '{from:Int64}', referrer: '\t\n' })).toBe(0)
    expect(await requests({ status: '304' })).toBe(1)
    expect(await requests({ device: 'bot', network: 'slow', format_served: 'avif' })).toBe(1)
    expect(await requests({ dpr: '2', width: '800' })).toBe(10)
    const limited = await ask(analytics, { group_by: 'tier', order: 'requests', limit: '1' })
    expect(limited.rows).toHaveLength(1)
    expect(limited.total?.requests).toBe(10)
    expect((await ask(analytics, { group_by: 'tier', from: '2020-01-01', to: '2020-01-02' })).rows).toEqual([])
  })

  it('stops when idle and starts again for the next question, which sees all before it', async () => {
    await using folder = await temporaryFolder()
    await using analytics = await startAnalytics({ dataDir: folder.path, log: createLog(), idleMs: 50 })
    const template = analytics.recorder.prepare(SUBJECT)
    expect(analytics.health().state).toBe('idle')
    for (let round = 1; round <= 2; round++) {
      analytics.recorder.record(template, OCCURRENCE)
      expect((await ask(analytics, {})).rows[0]?.requests).toBe(round)
      while (analytics.health().state !== 'idle') await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(analytics.stats.engine).toEqual({ starts: 2, failures: 0 })
  })

  it.runIf(process.platform === 'linux')('works at a lower priority than the server, in every thread', async () => {
    await using folder = await temporaryFolder()
    await using analytics = await startAnalytics({ dataDir: folder.path, log: createLog() })
    await askUntilComplete(analytics, {})
    const values = threadNiceness(analytics.enginePid() ?? 0)
    // ClickHouse's MemoryWorker gives itself −20 where it may, as root: it looks at the memory a few times a second.
    expect([...values].filter((niceness) => niceness !== -20)).toEqual([BEHIND_ANSWERS])
  })

  it('loads without being asked once enough is waiting', async () => {
    await using folder = await temporaryFolder()
    await using analytics = await startAnalytics({ dataDir: folder.path, log: createLog(), drainBytes: 1, paceMs: 20 })
    analytics.recorder.record(analytics.recorder.prepare(SUBJECT), OCCURRENCE)
    while (analytics.stats.insertedRows < 1 || analytics.stats.spool.segments > 0)
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect(analytics.stats.insertedRows).toBe(1)
  })

  it('puts a poisoned segment aside and loads those behind it', async () => {
    await using folder = await temporaryFolder()
    const spool = join(folder.path, 'spool', 'events')
    await mkdir(spool, { recursive: true })
    // Sound to us, but no event to the engine; and no frame at all.
    const words = new Uint32Array(8)
    const refused = encodeFrame({ baseMs: 0, rows: 2, words, clients: 'not\n', subjects: 'an\tevent\n' })
    await writeFile(join(spool, '000000000000-aaaaaaaaaaaa.2.ready'), refused)
    await writeFile(join(spool, '000000000001-bbbbbbbbbbbb.1.ready'), 'a\tstranger\tto\tthe\ttable\n1\t2\t3\t4\t5\n')
    const log = createLog()
    await using analytics = await startAnalytics({ dataDir: folder.path, log })
    analytics.recorder.record(analytics.recorder.prepare(SUBJECT), OCCURRENCE)
    const summary = await ask(analytics, {})
    expect([summary.complete, summary.rows[0]?.requests]).toEqual([true, 1])
    expect(analytics.stats.spool).toMatchObject({ rejectedSegments: 2, rejectedRows: 3, segments: 0 })
    expect((await readdir(join(spool, 'rejected'))).length).toBe(2)
  })

  it('counts a segment once when the process died between insert and removal', async () => {
    await using folder = await temporaryFolder()
    const dir = join(folder.path, 'spool', 'events')
    const record = async () => {
      const analytics = await startAnalytics({ dataDir: folder.path, log: createLog() })
      for (let i = 0; i < 100; i++) analytics.recorder.record(analytics.recorder.prepare(SUBJECT), OCCURRENCE)
      return analytics
    }
    await (await record()).close()
    const [name = ''] = (await readdir(dir)).filter((file) => file.endsWith('.ready'))
    await using copy = await temporaryFolder()
    await copyFile(join(dir, name), join(copy.path, name))
    const first = await startAnalytics({ dataDir: folder.path, log: createLog() })
    expect((await ask(first, {})).rows[0]?.requests).toBe(100)
    await first.close()
    await copyFile(join(copy.path, name), join(dir, name))
    await using second = await startAnalytics({ dataDir: folder.path, log: createLog() })
    expect((await ask(second, {})).rows[0]?.requests).toBe(100)
  })

  it('puts a data folder that will not open aside and carries on empty', async () => {
    await using folder = await temporaryFolder()
    const before = await startAnalytics({ dataDir: folder.path, log: createLog() })
    before.recorder.record(before.recorder.prepare(SUBJECT), OCCURRENCE)
    await ask(before, {})
    await before.close()
    const metadata = (await readdir(join(folder.path, 'analytics'), { recursive: true })).find((file) =>
      file.endsWith('delivery_events.sql'),
    )
    await truncate(join(folder.path, 'analytics', metadata ?? ''))
    const log = createLog()
    await using after = await startAnalytics({ dataDir: folder.path, log })
    after.recorder.record(after.recorder.prepare(SUBJECT), OCCURRENCE)
    expect((await askUntilComplete(after, {})).rows[0]?.requests).toBe(1)
    expect((await readdir(folder.path)).filter((name) => name.startsWith('analytics.broken-'))).toHaveLength(1)
    expect(log.lines.some(({ message }) => message.includes('put aside'))).toBe(true)
  })

  it('waits, and does not put the folder aside, while another process has it open', async () => {
    await using folder = await temporaryFolder()
    await using holder = await startAnalytics({ dataDir: folder.path, log: createLog() })
    holder.recorder.record(holder.recorder.prepare(SUBJECT), OCCURRENCE)
    await ask(holder, {})
    await using other = await temporaryFolder()
    await using blocked = await startAnalytics({ dataDir: other.path, log: createLog() })
    await symlink(join(folder.path, 'analytics'), join(other.path, 'analytics'))
    await expect(ask(blocked, {})).rejects.toThrow(AppError)
    expect(blocked.health().state).toBe('recovering')
    expect(await readdir(other.path)).not.toContainEqual(expect.stringContaining('broken'))
    await holder.close()
    expect((await askUntilComplete(blocked, {})).rows[0]?.requests).toBe(1)
  })

  it('speaks to a ClickHouse server by URL, and keeps the spool while that is down', async () => {
    await using folder = await temporaryFolder()
    const options = { binding: 'chdb', dir: join(folder.path, 'server'), incoming: join(folder.path, 'incoming') }
    const server = await startChdb(
      { ...options, heartbeatTimeoutMs: 15_000, startTimeoutMs: 60_000 },
      new AbortController().signal,
    )
    const url = new URL(server.url)
    url.username = server.username
    url.password = server.password
    const remote = { dataDir: folder.path, url: url.href, paceMs: 50 }
    const up = await startAnalytics({ ...remote, log: createLog() })
    up.recorder.record(up.recorder.prepare(SUBJECT), OCCURRENCE)
    expect((await ask(up, { group_by: 'tier' })).rows).toMatchObject([{ tier: 'memory', requests: 1 }])
    up.recorder.record(up.recorder.prepare(SUBJECT), OCCURRENCE)
    while (up.stats.insertedRows < 2) await new Promise((resolve) => setTimeout(resolve, 20))
    await server.stop(1000)
    up.recorder.record(up.recorder.prepare(SUBJECT), OCCURRENCE)
    // Far more attempts than a segment that crashes the engine is allowed: an outage is not the segment's fault.
    for (let attempt = 0; attempt < 15; attempt++) await expect(ask(up, {})).rejects.toMatchObject({ kind: 'busy' })
    expect(up.stats.engine.failures).toBeGreaterThanOrEqual(15)
    expect(up.health().state).toBe('recovering')
    expect(up.stats).toMatchObject({ recorded: 3, insertedRows: 2 })
    expect(up.stats.spool.segments).toBe(1)
    await up.close()
  })
})

describe('analytics without an engine', () => {
  it('says so, answers 503 to questions, records and keeps the spool', async () => {
    await using folder = await temporaryFolder()
    const log = createLog()
    const options = { dataDir: folder.path, log, binding: 'chdb-is-not-here', drainBytes: 1, paceMs: 20 }
    const analytics = await startAnalytics(options)
    analytics.recorder.record(analytics.recorder.prepare(SUBJECT), OCCURRENCE)
    await expect(ask(analytics, {})).rejects.toMatchObject({ kind: 'busy' })
    expect(analytics.health()).toMatchObject({
      state: 'unavailable',
      detail: expect.stringContaining('chdb-is-not-here'),
    })
    await expect(ask(analytics, {})).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: 60 })
    analytics.recorder.record(analytics.recorder.prepare(SUBJECT), OCCURRENCE)
    await analytics.close()
    expect(analytics.stats.recorded).toBe(2)
    await using again = await startAnalytics(options)
    expect(again.stats.spool.recoveredRows).toBe(2)
  })
})
