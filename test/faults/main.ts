/**
 * `npm run test:faults`: real origins on real engines, a steady load, and one fault after the other. Correctness is judged (exit code 1),
 * times are only told. `--write` puts the table into docs/RELIABILITY.md; `--only redis,disk` picks the faults whose names contain a word.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startClickHouse } from '../engines/clickhouse.ts'
import { stackIsHere, startStack } from '../engines/stack.ts'
import { startOnSmallDisk } from './disk-full.ts'
import { watchEvents } from './events.ts'
import { fillCaches, startLoad } from './load.ts'
import { formatTable, type Row, writeReport } from './report.ts'
import { audit, prepare, type Rig, type StackRig, waitUntilWell } from './rig.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import { CACHED, failed } from './tally.ts'

const ORIGINS = 4
/** Load before the fault, so that it hits something. */
const BEFORE_MS = 500
/** What is deleted leaves the list of the live, whose end moves forward by that. */
const MAX_DELETED = 40

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false }, only: { type: 'string' } } })
const words = values.only?.toLowerCase().split(',')
const isChosen = (name: string): boolean => !words || words.some((word) => name.toLowerCase().includes(word))
const log = (text: string): void => void process.stderr.write(`${text}\n`)

type Fault = Pick<Scenario, 'name' | 'mayBreak' | 'windowMs'> & { readonly run: () => ReturnType<Scenario['run']> }

const suffer = async (rig: Rig, fault: Fault): Promise<Row> => {
  const { mayBreak = false, windowMs = 0 } = fault
  const since = { live: Math.max(0, rig.library.live.length - MAX_DELETED), hidden: rig.library.hidden.length }
  // Forgotten whenever a notice may have been missed: at the end of the fault before this one.
  await fillCaches(rig.urls, rig.hot)
  const load = startLoad({ ...rig, mayBreak, windowMs })
  const wrong: string[] = []
  let [say, wellMs] = ['', 0]
  try {
    await sleep(BEFORE_MS)
    const told = await fault.run()
    say = told?.say ?? ''
    wrong.push(...(told?.wrong ?? []))
    wellMs = await waitUntilWell(rig)
  } catch (error) {
    wrong.push(error instanceof Error ? error.message : String(error))
  } finally {
    await load.stop()
  }
  const { tally } = load
  wrong.push(...tally.wrong, ...(await audit(rig, since)))
  if (failed(tally, CACHED) > 0)
    wrong.push(`${failed(tally, CACHED)} reads of what is cached failed, first ${tally.cachedRefused}`)
  for (const what of wrong.slice(0, 5)) log(`  wrong: ${what}`)
  return { name: fault.name, tally, wellMs, say, wrong }
}

const onStack = async (rows: Row[]): Promise<void> => {
  const chosen = SCENARIOS.filter(({ name }) => isChosen(name))
  if (chosen.length === 0 || !stackIsHere('faults of S3, PostgreSQL and Redis')) return
  await using clickhouse = await startClickHouse()
  await using stack = await startStack({
    origins: ORIGINS,
    env: {
      ORIEL_RENDERERS: '1',
      // The default is 30 s: a renderer that hangs is to be found out within this run.
      ORIEL_RENDER_DEADLINE_MS: '3000',
      ...(clickhouse ? { ORIEL_ANALYTICS: 'on', ORIEL_CLICKHOUSE: clickhouse.url } : {}),
    },
  })
  await stack.sharing()
  const rig: StackRig = { ...(await prepare(stack.origins.map(({ url }) => url))), stack, clickhouse }
  for (const scenario of chosen) {
    if (scenario.needsClickHouse && !clickhouse) continue
    log(`${Math.round(performance.now() / 1000)} s: ${scenario.name}`)
    const events = scenario.needsClickHouse ? await watchEvents(rig) : undefined
    const row = await suffer(rig, { ...scenario, run: () => scenario.run(rig) })
    rows.push({ ...row, wrong: [...row.wrong, ...((await events?.()) ?? [])] })
    await stack.sharing()
  }
  log('everything acknowledged, once more')
  const lost = await audit(rig)
  rows.splice(-1, 1, ...rows.slice(-1).map((row) => ({ ...row, wrong: [...row.wrong, ...lost] })))
}

const onSmallDisk = async (rows: Row[]): Promise<void> => {
  const name = 'disk full for 5 s (one embedded origin)'
  if (!isChosen(name)) return
  await using disk = await startOnSmallDisk()
  if (!disk) return log('left out: a full disk (a small file system cannot be mounted here; as root it can)')
  log(name)
  rows.push(await suffer(await prepare([disk.url]), { name, run: disk.run }))
}

/** Everything above has bounds of its own; one that was forgotten must not hang CI. Several times what it takes on a busy machine. */
const WHOLE_LIMIT_MS = 15 * 60_000

const from = performance.now()
const rows: Row[] = []
setTimeout(() => {
  log(`not at an end after ${WHOLE_LIMIT_MS / 60_000} minutes, ${rows.length} faults done`)
  process.exit(1)
}, WHOLE_LIMIT_MS)
await onStack(rows)
await onSmallDisk(rows)
process.stdout.write(formatTable(rows))
log(`${Math.round((performance.now() - from) / 1000)} s`)
if (values.write) await writeReport(rows)
const wrong = rows.flatMap((row) => row.wrong.map((what) => `${row.name}: ${what}`))
for (const what of wrong) log(what)
// Not left to end by itself: Node 26.10 was seen to spin for ever in its own clean-up over a socket that had been reset (CleanupHandles).
process.exit(wrong.length === 0 ? 0 : 1)
