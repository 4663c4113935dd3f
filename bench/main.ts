/**
 * `npm run bench`: Oriel beside references measured in the same run, in turns, on the same machine. Writes
 * `bench/results/latest.json` and `latest.md`, puts the table into the README, and prints it.
 * `--only hot,cold` picks parts and keeps the others' earlier results; `--quick` shortens all and writes nothing.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { describeMachine } from './machine.ts'
import { removeDataFolders } from './origin.ts'
import type { Part } from './part.ts'
import { avif } from './parts/avif.ts'
import { cold } from './parts/cold.ts'
import { contention } from './parts/contention.ts'
import { distributed } from './parts/distributed.ts'
import { edge } from './parts/edge.ts'
import { events } from './parts/events.ts'
import { hot } from './parts/hot.ts'
import { precheck } from './parts/precheck.ts'
import { sessions } from './parts/sessions.ts'
import { start } from './parts/start.ts'
import { upload } from './parts/upload.ts'
import { watchDisturbance } from './process-tree.ts'
import { canPin } from './processes.ts'
import type { Section } from './row.ts'
import { formatResults, formatSection } from './table.ts'

const PARTS: Readonly<Record<string, Part>> = {
  cold,
  avif,
  hot,
  contention,
  precheck,
  events,
  upload,
  sessions,
  edge,
  start,
  distributed,
}

const RESULTS = new URL('./results/', import.meta.url)
const JSON_FILE = new URL('latest.json', RESULTS)
const TABLE_FILE = new URL('latest.md', RESULTS)
const README = new URL('../README.md', import.meta.url)

const BETWEEN_MARKS = /(<!-- bench:start -->\n)[\s\S]*(<!-- bench:end -->)/

type Results = Readonly<Record<string, readonly Section[]>>

const readEarlier = async (): Promise<Results> => {
  try {
    return (JSON.parse(await readFile(JSON_FILE, 'utf8')) as { readonly parts: Results }).parts
  } catch {
    // No earlier run.
    return {}
  }
}

const { values } = parseArgs({ options: { only: { type: 'string' }, quick: { type: 'boolean', default: false } } })
const chosen = values.only?.split(',') ?? Object.keys(PARTS)
const unknown = chosen.filter((name) => !(name in PARTS))
if (unknown.length > 0)
  throw new Error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`)
if (!canPin) process.stderr.write('taskset or a second core is missing: nothing is pinned, ratios will be noisier\n')

const machine = describeMachine()
let parts: Results = values.only ? await readEarlier() : {}

/** In the order of PARTS, whatever order they were measured in. */
const withPart = (name: string, sections: readonly Section[]): Results => {
  const all: Results = { ...parts, [name]: sections }
  return Object.fromEntries(Object.keys(PARTS).flatMap((key) => (all[key] ? [[key, all[key]] as const] : [])))
}

/** After every part, so that an interrupted run keeps what it has. */
const save = async (): Promise<void> => {
  await mkdir(RESULTS, { recursive: true })
  await writeFile(JSON_FILE, `${JSON.stringify({ machine, parts }, null, 2)}\n`)
  const table = formatResults(machine, Object.values(parts).flat())
  await writeFile(TABLE_FILE, table)
  const readme = await readFile(README, 'utf8')
  await writeFile(
    README,
    readme.replace(BETWEEN_MARKS, `$1\n${table.replace(/^# .*\n+/, '').replaceAll('\n## ', '\n### ')}$2`),
  )
}

for (const name of chosen) {
  const from = performance.now()
  const disturbance = watchDisturbance()
  const log = (text: string): void => void process.stderr.write(`${name}: ${text}\n`)
  const sections = (await PARTS[name]?.({ quick: values.quick, log })) ?? []
  const share = disturbance()
  const disturbed = sections.map((section) => ({ ...section, disturbance: share }))
  log(`done in ${Math.round((performance.now() - from) / 1000)} s`)
  process.stdout.write(disturbed.map(formatSection).join('\n'))
  parts = withPart(name, disturbed)
  if (!values.quick) await save()
}
await removeDataFolders()
