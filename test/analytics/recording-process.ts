/** A process to be killed: records numbered events as fast as they are taken, loads them meanwhile, and tells what is recorded. */
import { createAnalytics } from '../../src/analytics/analytics.ts'
import { createLog, OCCURRENCE, SUBJECT } from './recording-events.ts'

const [dataDir = '', prefix = ''] = process.argv.slice(2)
const analytics = await createAnalytics({
  dataDir,
  log: createLog(),
  segmentBytes: 60_000,
  drainBytes: 1,
  paceMs: 5,
  buffer: { flushMs: 3 },
})
process.on('disconnect', () => process.exit(0))
// At most 5,000, so that a slow machine is not left with minutes of loading.
for (let next = 0; ; ) {
  for (let i = 0; i < 20 && next < 5000; i++)
    analytics.recorder.record(analytics.recorder.prepare({ ...SUBJECT, hash: `${prefix}${next++}` }), OCCURRENCE)
  await new Promise((resolve) => setTimeout(resolve, 5))
  const { recorded, insertedRows } = analytics.stats
  process.send?.({ recorded, insertedRows })
}
