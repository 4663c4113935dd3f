/** `oriel gc`: asks the server to clean up now, and waits for its report. */
import { z } from 'zod'
import { defineCommand } from './arguments.ts'
import { ask } from './ask.ts'
import { createClient } from './client.ts'
import { EXIT } from './exit.ts'
import { chooseServer, KEY_NOTE, SERVER_OPTIONS } from './server.ts'
import type { World } from './world.ts'

/** A walk over every original may take hours; what bounds the wait is Ctrl-C. */
const IDLE_MS = 60 * 60_000
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

const tell = (report: Report, json: boolean, world: World): void => {
  if (json) world.out(`${JSON.stringify(report)}\n`)
  else
    for (const [name, value] of Object.entries(report))
      world.out(`${name.replaceAll('_', ' ')}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}\n`)
}
