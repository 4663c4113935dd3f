/** `oriel gc` and `oriel reconcile`: ask the server to clean up now, and wait for its report. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineCommand } from './arguments.ts'
import { ask } from './ask.ts'
import { createClient } from './client.ts'
import { EXIT } from './exit.ts'
import { chooseServer, KEY_NOTE, SERVER_OPTIONS } from './server.ts'
import type { World } from './world.ts'

/** A walk over every original may take hours; what bounds the wait is Ctrl-C. */
const IDLE_MS = 60 * 60_000
/** Between two looks at a walk that goes on. */
const LOOK_MS = 1_000

const Report = z.record(z.string(), z.unknown())
type Report = z.infer<typeof Report>

export const gc = defineCommand({
  name: 'gc',
  summary: 'Collects what is past its grace, now: deleted assets, and bytes that nothing refers to.',
  operands: '',
  count: [0, 0],
  options: SERVER_OPTIONS,
  notes: [KEY_NOTE],
  run: async ({ values }, world) => {
    using client = createClient(chooseServer(values, world), 1)
    const call = { method: 'POST', path: '/internal/collect', idleMs: IDLE_MS } as const
    tell(await ask(client, call, Report, world), values.json, world)
    return EXIT.done
  },
})

export const reconcile = defineCommand({
  name: 'reconcile',
  summary: 'Compares the store and the rows, both ways, and repairs what differs.',
  operands: '',
  count: [0, 0],
  options: { 'dry-run': { type: 'boolean', short: 'n', note: 'report only' }, ...SERVER_OPTIONS },
  notes: [KEY_NOTE, 'Exit code 1 when something differs that was not repaired.'],
  run: async ({ values }, world) => {
    using client = createClient(chooseServer(values, world), 1)
    const path = '/internal/reconcile'
    const start = { method: 'POST', path: `${path}?dry_run=${values['dry-run'] ? 1 : 0}`, idleMs: IDLE_MS } as const
    let report = await ask(client, start, Report, world)
    while (report.state === 'running') {
      await sleep(LOOK_MS, undefined, { signal: world.signal }).catch(() => world.signal.throwIfAborted())
      report = await ask(client, { method: 'GET', path }, Report, world)
    }
    tell(report, values.json, world)
    return isSound(report) ? EXIT.done : EXIT.failed
  },
})

const Differences = z.object({
  state: z.literal('done'),
  found: z.record(z.string(), z.number()),
  repaired: z.number(),
})

/** `sound` counts what was found right after all. */
export const isSound = (report: Report): boolean => {
  const parsed = Differences.safeParse(report)
  if (!parsed.success) return false
  const differing = Object.entries(parsed.data.found).reduce((sum, [kind, n]) => sum + (kind === 'sound' ? 0 : n), 0)
  return parsed.data.repaired >= differing
}

const tell = (report: Report, json: boolean, world: World): void => {
  if (json) world.out(`${JSON.stringify(report)}\n`)
  else
    for (const [name, value] of Object.entries(report))
      world.out(`${name.replaceAll('_', ' ')}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}\n`)
}
