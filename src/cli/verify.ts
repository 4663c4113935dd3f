/** `oriel verify`: does the server have these very files, and are they ours there? Nothing is changed. */
import { defineCommand, type Options, wholeNumber } from './arguments.ts'
import { type Client, createClient } from './client.ts'
import { EXIT } from './exit.ts'
import { FileFault } from './file-part.ts'
import { fingerprint } from './fingerprint.ts'
import { eachOf } from './places.ts'
import type { Known } from './plan.ts'
import { problemOf } from './retry.ts'
import { chooseServer, KEY_NOTE, SERVER_OPTIONS } from './server.ts'
import { assertWelcome, precheck } from './upload-file.ts'
import { type Found, walk } from './walk.ts'
import { assertFolders, WALK_OPTIONS, walkOptions } from './walk-options.ts'
import { printable } from './world.ts'

const OPTIONS = {
  ...WALK_OPTIONS,
  concurrency: { type: 'string', short: 'j', value: '<n>', note: 'files at once, 1–64 (default 8)' },
  ...SERVER_OPTIONS,
} as const satisfies Options

/**
 * `present`: the server has an asset of the caller's with these bytes. `foreign`: it has the bytes, the caller has no asset of them.
 * `absent`: it has not. `unreadable`: we could not compare.
 */
export type Finding = 'present' | 'foreign' | 'absent' | 'unreadable'

export const judgeKnown = ({ exists, owned, size_matches }: Known): Finding =>
  !exists || size_matches === false ? 'absent' : owned ? 'present' : 'foreign'

const MEANING = {
  present: 'on the server, and yours',
  foreign: 'on the server, but not yours',
  absent: 'not on the server',
  unreadable: 'cannot be compared',
} as const satisfies Record<Finding, string>

export const verify = defineCommand({
  name: 'verify',
  summary: 'Compares local files with the server by their SHA-256.',
  operands: '<path…>',
  count: [1, Number.POSITIVE_INFINITY],
  options: OPTIONS,
  notes: [
    KEY_NOTE,
    'Exit codes: 0 every file is there and yours, 1 some are not, 2 usage, 3 server unreachable or key refused.',
  ],
  run: async ({ values, operands }, world) => {
    const concurrency = wholeNumber('concurrency', values.concurrency ?? '8', 1, 64)
    const walking = walkOptions(values)
    await assertFolders(operands, walking)
    using client = createClient(chooseServer(values, world), concurrency)
    await assertWelcome(client, world.signal)
    const counts: Record<Finding, number> = { present: 0, foreign: 0, absent: 0, unreadable: 0 }
    await eachOf(walk(operands, walking), concurrency, async (found) => {
      const result = await compare(found, client, world.signal)
      counts[result.finding] += 1
      if (values.json)
        world.out(`${JSON.stringify({ type: 'file', path: found.path, status: result.finding, ...result.facts })}\n`)
      else if (result.finding !== 'present')
        world.out(
          `${result.finding}  ${printable(found.path)}${'error' in result.facts ? `: ${printable(result.facts.error)}` : ''}\n`,
        )
    })
    if (values.json) world.out(`${JSON.stringify({ type: 'summary', ...counts })}\n`)
    else
      for (const [finding, meaning] of Object.entries(MEANING))
        if (counts[finding as Finding] > 0 || finding === 'present')
          world.out(`${counts[finding as Finding]} ${meaning}\n`)
    return counts.foreign + counts.absent + counts.unreadable > 0 ? EXIT.failed : EXIT.done
  },
})

interface Compared {
  readonly finding: Finding
  readonly facts: { readonly sha256?: string; readonly id?: string } | { readonly error: string }
}

const compare = async (found: Found, client: Client, signal: AbortSignal): Promise<Compared> => {
  if (found.kind === 'fault') return { finding: 'unreadable', facts: { error: found.why } }
  try {
    const print = await fingerprint(found.path, signal)
    const known = await precheck(client, print, { signal })
    if ('status' in known) return { finding: 'unreadable', facts: { error: problemOf(known) } }
    const id = known.asset_id
    return { finding: judgeKnown(known), facts: { sha256: print.sha256, ...(id !== undefined && { id }) } }
  } catch (error) {
    if (error instanceof FileFault) return { finding: 'unreadable', facts: { error: error.message } }
    throw error
  }
}
