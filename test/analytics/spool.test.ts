import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SEGMENT_HEADER } from '../../src/analytics/event-row.ts'
import type { AppendOutcome } from '../../src/analytics/line-buffer.ts'
import { createRecorder } from '../../src/analytics/recorder.ts'
import { openSpool } from '../../src/analytics/spool.ts'
import { temporaryFolder } from './harness.ts'
import { createLog, OCCURRENCE, SUBJECT } from './recording-events.ts'

const lines = (...texts: string[]) => Buffer.from(texts.map((text) => `${text}\n`).join(''))

describe('the spool', () => {
  it('lists what was sealed oldest first, each with its header, and forgets what was removed', async () => {
    await using folder = await temporaryFolder()
    const spool = await openSpool({ dir: folder.path, log: createLog() })
    for (const text of ['first', 'second', 'third']) {
      expect(await spool.append(lines(text), 1)).toBe('recorded')
      await spool.seal()
    }
    const texts = await Promise.all(spool.ready().map((segment) => readFile(segment.path, 'utf8')))
    expect(texts).toEqual(['first', 'second', 'third'].map((text) => `${SEGMENT_HEADER}${text}\n`))
    const [oldest] = spool.ready()
    if (oldest) await spool.remove(oldest)
    expect(spool.ready()).toHaveLength(2)
    expect(await readdir(folder.path)).toHaveLength(3)
    await spool.close()
  })

  it('begins a new segment when one is full', async () => {
    await using folder = await temporaryFolder()
    const spool = await openSpool({ dir: folder.path, segmentBytes: SEGMENT_HEADER.length + 100, log: createLog() })
    for (let i = 0; i < 10; i++) await spool.append(lines('x'.repeat(59)), 1)
    expect(spool.ready().map((segment) => segment.rows)).toEqual([2, 2, 2, 2, 2])
    await spool.close()
  })

  it('drops the newest when the budget is used up, and takes again when there is room', async () => {
    await using folder = await temporaryFolder()
    const spool = await openSpool({
      dir: folder.path,
      spoolBudgetBytes: SEGMENT_HEADER.length * 2 + 100,
      log: createLog(),
    })
    expect(await spool.append(lines('a'.repeat(79)), 1)).toBe('recorded')
    expect(await spool.append(lines('b'.repeat(SEGMENT_HEADER.length + 79)), 1)).toBe('over-budget')
    await spool.seal()
    const [segment] = spool.ready()
    expect(await readFile(segment?.path ?? '', 'utf8')).not.toContain('b'.repeat(79))
    if (segment) await spool.remove(segment)
    expect(await spool.append(lines('c'), 1)).toBe('recorded')
    await spool.close()
  })

  it('takes over what a killed process was writing, cut at any byte, up to the last whole line', async () => {
    const rows = ['one\tkey', 'two\tzwei', 'three\tdrei']
    const whole = Buffer.from(`${SEGMENT_HEADER}${rows.join('\n')}\n`)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length }), async (cut) => {
        await using folder = await temporaryFolder()
        await writeFile(join(folder.path, '000000000007-aabbccddeeff.open'), whole.subarray(0, cut))
        const spool = await openSpool({ dir: folder.path, log: createLog() })
        const kept = whole.subarray(0, cut).toString().split('\n').length - 2
        const [segment] = spool.ready()
        expect(segment?.rows ?? 0).toBe(Math.max(0, kept))
        if (segment) {
          expect(await readFile(segment.path, 'utf8')).toBe(`${SEGMENT_HEADER}${rows.slice(0, kept).join('\n')}\n`)
          expect(segment.token).toBe('000000000007-aabbccddeeff')
        }
        await spool.close()
      }),
      { numRuns: 40 },
    )
  })

  it('goes on after the highest number that was there, and leaves strangers alone', async () => {
    await using folder = await temporaryFolder()
    await writeFile(join(folder.path, '000000000041-aabbccddeeff.3.ready'), SEGMENT_HEADER)
    await writeFile(join(folder.path, 'notes.txt'), 'mine')
    const spool = await openSpool({ dir: folder.path, log: createLog() })
    await spool.append(lines('x'), 1)
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
    expect(await spool.append(lines('x'), 1)).toBe('failed')
    expect(log.lines.map((line) => line.level)).toContain('error')
    await mkdir(join(folder.path, 'events'))
    expect(await spool.append(lines('y'), 1)).toBe('recorded')
    await spool.close()
  })
})

describe('the recorder', () => {
  it('counts every event once: recorded, or dropped for a named reason', async () => {
    const outcomes: AppendOutcome[] = ['recorded', 'over-budget', 'failed']
    let batch = 0
    const recorder = createRecorder(async () => outcomes[batch++ % 3] ?? 'failed', { maxRows: 5000 })
    const template = recorder.prepare(SUBJECT)
    // A batch is 512 KiB: 2,400 of these lines, which come in groups of 32.
    for (let i = 0; i < 3 * 2048; i++) recorder.record(template, OCCURRENCE)
    await recorder.close()
    recorder.record(template, OCCURRENCE)
    const { agentsSkipped, accepted, ...settled } = recorder.stats
    expect(settled).toEqual({
      recorded: 2400,
      droppedSpoolFull: 2400,
      droppedSpoolFault: 5000 - 4800,
      droppedBufferFull: 3 * 2048 - 5000,
      droppedClosed: 1,
    })
    expect(accepted).toBe(3 * 2048 + 1)
  })

  it('hands on events in their order, within the byte bound, while the disk is slow', async () => {
    const { promise: disk, resolve: wake } = Promise.withResolvers<void>()
    let text = ''
    const recorder = createRecorder(
      async (bytes) => {
        await disk
        text += Buffer.from(bytes).toString('latin1')
        return 'recorded'
      },
      { maxBytes: 100_000 },
    )
    for (let i = 0; i < 5000; i++) recorder.record(recorder.prepare({ ...SUBJECT, owner: `o${i}` }), OCCURRENCE)
    wake()
    await recorder.flush()
    const owners = text
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t')[14])
    expect(owners).toEqual(owners.map((_, i) => `o${i}`))
    expect(text.length).toBeLessThan(100_000 + 400)
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
