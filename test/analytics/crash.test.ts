import { fork } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { askUntilComplete, engineRuns, readRows, startAnalytics, temporaryFolder } from './harness.ts'
import { createLog, OCCURRENCE, SUBJECT } from './recording-events.ts'

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Starts the recording process, lets it run until `enough`, and kills it as it stands. */
const recordUntilKilled = async (dataDir: string, prefix: string, afterInserts: number): Promise<number> => {
  const child = fork(new URL('./recording-process.ts', import.meta.url), [dataDir, prefix], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const { promise: enough, resolve } = Promise.withResolvers<void>()
  let recorded = 0
  child.on('message', (told: { recorded: number; insertedRows: number }) => {
    recorded = told.recorded
    if (told.recorded > 0 && told.insertedRows >= afterInserts) resolve()
  })
  await enough
  await pause(Math.random() * 60)
  child.kill('SIGKILL')
  await once(child, 'exit')
  return recorded
}

describe.runIf(engineRuns)('after a crash', () => {
  it('everything counted as recorded is in the engine exactly once, wherever kill -9 struck', async () => {
    await using folder = await temporaryFolder()
    const promised: number[] = []
    for (const [round, afterInserts] of [0, 1, 500, 1500].entries())
      promised.push(await recordUntilKilled(folder.path, `r${round}-`, afterInserts))
    const analytics = await startAnalytics({ dataDir: folder.path, log: createLog() })
    await askUntilComplete(analytics, {})
    await analytics.close()
    const rows = await readRows(folder.path, 'SELECT hash, count() AS times FROM delivery_events GROUP BY hash')
    const times = new Map(rows.map((row) => [row.hash, Number(row.times)]))
    expect([...times].filter(([, count]) => count !== 1)).toEqual([])
    const missing = promised.flatMap((count, round) =>
      Array.from({ length: count }, (_, i) => `r${round}-${i}`).filter((hash) => !times.has(hash)),
    )
    expect(missing).toEqual([])
    expect(Math.min(...promised)).toBeGreaterThan(0)
  })

  it('of the engine in the middle of loading, nothing recorded is lost or doubled', async () => {
    await using folder = await temporaryFolder()
    const analytics = await startAnalytics({
      dataDir: folder.path,
      log: createLog(),
      segmentBytes: 20_000,
      drainBytes: 1,
      paceMs: 5,
      heartbeatTimeoutMs: 5000,
    })
    let next = 0
    for (const signal of ['SIGKILL', 'SIGSTOP', 'SIGSEGV', 'SIGKILL'] as const) {
      for (let i = 0; i < 2000; i++)
        analytics.recorder.record(analytics.recorder.prepare({ ...SUBJECT, hash: `h${next++}` }), OCCURRENCE)
      await analytics.flush()
      const before = analytics.stats.insertedRows
      while (analytics.stats.insertedRows === before || analytics.enginePid() === undefined) await pause(5)
      const pid = analytics.enginePid()
      if (pid !== undefined) process.kill(pid, signal)
      while (analytics.enginePid() === pid) await pause(5)
    }
    await askUntilComplete(analytics, {})
    expect(analytics.stats).toMatchObject({ recorded: 8000, spool: { segments: 0, rejectedRows: 0 } })
    expect(analytics.stats.engine.failures).toBeGreaterThanOrEqual(4)
    await analytics.close()
    const [row] = await readRows(folder.path, 'SELECT count() AS rows, uniqExact(hash) AS hashes FROM delivery_events')
    expect([Number(row?.rows), Number(row?.hashes)]).toEqual([8000, 8000])
  })

  it('of the server, its engine leaves too', async () => {
    await using folder = await temporaryFolder()
    await recordUntilKilled(folder.path, 'x', 1)
    // The engine holds a lock on its folder for as long as it lives.
    await using analytics = await startAnalytics({ dataDir: folder.path, log: createLog() })
    expect((await askUntilComplete(analytics, {})).complete).toBe(true)
  })
})
