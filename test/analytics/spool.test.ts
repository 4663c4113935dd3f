import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EVENT_COLUMNS } from '../../src/analytics/event-row.ts'
import { encodeFrame } from '../../src/analytics/frame.ts'
import type { AppendOutcome } from '../../src/analytics/frame-buffer.ts'
import { createRecorder } from '../../src/analytics/recorder.ts'
import { segmentLines } from '../../src/analytics/segment-lines.ts'
import { openSpool } from '../../src/analytics/spool.ts'
import { temporaryFolder } from './harness.ts'
import { createLog, OCCURRENCE, SUBJECT } from './recording-events.ts'

/** A frame of one event for each text, all at the time 1,000. */
const frame = (...texts: string[]) =>
  encodeFrame({
    baseMs: 1000,
    rows: texts.length,
    words: Uint32Array.from(texts.flatMap((_, index) => [0, 250, 0, index])),
    clients: '\tclient\t\n',
    subjects: texts.map((text) => `${text}\n`).join(''),
  })

/** What ClickHouse would be sent of a segment's bytes, without the header. */
const rowsOf = async (bytes: Buffer): Promise<string[]> => {
  let text = ''
  for await (const chunk of segmentLines(bytes)) text += chunk.toString('latin1')
  const [header, ...rows] = text.trimEnd().split('\n')
  expect(header).toBe(EVENT_COLUMNS.join('\t'))
  return rows
}

describe('the spool', () => {
  it('lists what was sealed oldest first, and forgets what was removed', async () => {
    await using folder = await temporaryFolder()
    const spool = await openSpool({ dir: folder.path, log: createLog() })
    for (const text of ['first', 'second', 'third']) {
      expect(await spool.append(frame(text), 1)).toBe('recorded')
      await spool.seal()
    }
    const rows = await Promise.all(spool.ready().map(async ({ path }) => rowsOf(await readFile(path))))
    expect(rows).toEqual(['first', 'second', 'third'].map((text) => [`1000\t0.25\tclient\t${text}`]))
    const [oldest] = spool.ready()
    if (oldest) await spool.remove(oldest)
    expect(spool.ready()).toHaveLength(2)
    expect(await readdir(folder.path)).toHaveLength(3)
    await spool.close()
  })

  it('begins a new segment when one is full', async () => {
    await using folder = await temporaryFolder()
    const spool = await openSpool({ dir: folder.path, segmentBytes: 100, log: createLog() })
    for (let i = 0; i < 10; i++) await spool.append(Buffer.alloc(60), 1)
    expect(spool.ready().map((segment) => segment.rows)).toEqual([2, 2, 2, 2, 2])
    await spool.close()
  })

  it('drops the newest when the budget is used up, and takes again when there is room', async () => {
    await using folder = await temporaryFolder()
    const spool = await openSpool({ dir: folder.path, spoolBudgetBytes: 200, log: createLog() })
    expect(await spool.append(Buffer.alloc(150, 'a'), 1)).toBe('recorded')
    expect(await spool.append(Buffer.alloc(80, 'b'), 1)).toBe('over-budget')
    await spool.seal()
    const [segment] = spool.ready()
    expect(await readFile(segment?.path ?? '', 'utf8')).not.toContain('b')
    if (segment) await spool.remove(segment)
    expect(await spool.append(Buffer.alloc(80, 'c'), 1)).toBe('recorded')
    await spool.close()
  })

  it('takes over what a killed process was writing, cut or spoilt at any byte, up to the last whole frame', async () => {
    const frames = [frame('one'), frame('two', 'three'), frame('four', 'five', 'six')]
    const whole = Buffer.concat(frames)
    const ends = frames.map((_, index) => Buffer.concat(frames.slice(0, index + 1)).length)
    const rows = ['one', 'two', 'three', 'four', 'five', 'six'].map((text) => `1000\t0.25\tclient\t${text}`)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length - 1 }), fc.boolean(), async (at, cut) => {
        await using folder = await temporaryFolder()
        const left = cut ? whole.subarray(0, at) : Buffer.from(whole)
        if (!cut) left[at] = 255 - (left[at] ?? 0)
        await writeFile(join(folder.path, '000000000007-aabbccddeeff.open'), left)
        const spool = await openSpool({ dir: folder.path, log: createLog() })
        const kept = [0, 1, 3][ends.filter((end) => end <= at).length] ?? 6
        const [segment] = spool.ready()
        expect(segment?.rows ?? 0).toBe(kept)
        if (segment) {
          expect(await rowsOf(await readFile(segment.path))).toEqual(rows.slice(0, kept))
          expect(segment.token).toBe('000000000007-aabbccddeeff')
        }
        await spool.close()
      }),
      { numRuns: 60 },
    )
  })

  it('goes on after the highest number that was there, and leaves strangers alone', async () => {
    await using folder = await temporaryFolder()
    await writeFile(join(folder.path, '000000000041-aabbccddeeff.3.ready'), frame('a', 'b', 'c'))
    await writeFile(join(folder.path, 'notes.txt'), 'mine')
    const spool = await openSpool({ dir: folder.path, log: createLog() })
    await spool.append(frame('x'), 1)
    await spool.seal()
    expect(spool.ready().map(({ token, rows }) => [token.slice(0, 12), rows])).toEqual([
      ['000000000041', 3],
      ['000000000042', 1],
    ])
    expect(spool.stats).toMatchObject({ recoveredRows: 3, segments: 2 })
    expect(await readdir(folder.path)).toContain('notes.txt')
    await spool.close()
  })

  it('counts as failed, and does not throw, when the disk refuses', async () => {
    await using folder = await temporaryFolder()
    const log = createLog()
    const spool = await openSpool({ dir: join(folder.path, 'events'), log })
    await rm(join(folder.path, 'events'), { recursive: true })
    expect(await spool.append(frame('x'), 1)).toBe('failed')
    expect(log.lines.map((line) => line.level)).toContain('error')
    await mkdir(join(folder.path, 'events'))
    expect(await spool.append(frame('y'), 1)).toBe('recorded')
    await spool.close()
  })
})

describe('the recorder', () => {
  it('counts every event once: recorded, or dropped for a named reason', async () => {
    const outcomes: AppendOutcome[] = ['recorded', 'over-budget', 'failed']
    let batch = 0
    const recorder = createRecorder(async () => outcomes[batch++ % 3] ?? 'failed', { maxRows: 10_000 })
    const template = recorder.prepare(SUBJECT)
    // A frame is of 4,096.
    for (let i = 0; i < 12_000; i++) recorder.record(template, OCCURRENCE)
    await recorder.close()
    recorder.record(template, OCCURRENCE)
    const { agentsSkipped, accepted, ...settled } = recorder.stats
    expect(settled).toEqual({
      recorded: 4096,
      droppedSpoolFull: 4096,
      droppedSpoolFault: 10_000 - 2 * 4096,
      droppedBufferFull: 2000,
      droppedClosed: 1,
    })
    expect(accepted).toBe(12_001)
  })

  it('hands on events in their order, within the byte bound, while the disk is slow', async () => {
    const { promise: disk, resolve: wake } = Promise.withResolvers<void>()
    const written: Uint8Array[] = []
    const recorder = createRecorder(
      async (bytes) => {
        await disk
        written.push(bytes)
        return 'recorded'
      },
      { maxBytes: 500_000 },
    )
    for (let i = 0; i < 5000; i++) recorder.record(recorder.prepare({ ...SUBJECT, owner: `o${i}` }), OCCURRENCE)
    wake()
    await recorder.flush()
    const rows = await rowsOf(Buffer.concat(written))
    expect(rows.map((line) => line.split('\t')[14])).toEqual(rows.map((_, i) => `o${i}`))
    expect(rows.length).toBeGreaterThan(1000)
    expect(Buffer.concat(written).length).toBeLessThan(500_000 + 400)
    expect(recorder.stats.recorded + recorder.stats.droppedBufferFull).toBe(5000)
  })

  it('spends a bounded number of parses on made-up User-Agents', async () => {
    const recorder = createRecorder(async () => 'recorded')
    const template = recorder.prepare(SUBJECT)
    for (let i = 0; i < 5000; i++)
      recorder.record(template, { ...OCCURRENCE, userAgent: `Made/${i} ${'x'.repeat(20_000)}` })
    await recorder.close()
    expect(recorder.stats.recorded).toBe(5000)
    expect(recorder.stats.agentsSkipped).toBeGreaterThan(0)
  })
})
