/** From spawn to listening, and what an idle server takes of memory. */
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { interleave } from '../interleave.ts'
import { startOrigin } from '../origin.ts'
import type { Part } from '../part.ts'
import { treeMembers, treeUsage, usageOf } from '../process-tree.ts'
import { startProcess, stopProcess } from '../processes.ts'
import { comparedRow, plainRow } from '../row.ts'

/** By then the analytics engine and the renderers are up. */
const IDLE_AFTER_MS = 4_000

const startBare = async (): Promise<number> => {
  const from = performance.now()
  const child = startProcess(new URL('../reference/bare-start.ts', import.meta.url), [], {}, false)
  await once(child.stdout ?? child, 'data')
  const ms = performance.now() - from
  await stopProcess(child)
  return ms
}

export const start: Part = async ({ quick, log }) => {
  const rounds = quick ? 2 : 5
  const startFresh = async (): Promise<number> => {
    await using origin = await startOrigin()
    return origin.startMs
  }
  log('first starts')
  const first = await interleave(rounds, startFresh, startBare)

  await using folder = await mkdtempDisposable(join(tmpdir(), 'oriel-bench-'))
  const startAgain = async (): Promise<number> => {
    await using origin = await startOrigin({ dataFolder: folder.path })
    return origin.startMs
  }
  await startAgain()
  log('later starts')
  const later = await interleave(rounds, startAgain, startBare)

  await using origin = await startOrigin({ dataFolder: folder.path })
  await new Promise((resolve) => setTimeout(resolve, IDLE_AFTER_MS))
  const [own, tree] = [usageOf(origin.pid), treeUsage(origin.pid)]
  const members = treeMembers(origin.pid)
    .map(({ name, pssBytes }) => `${name} ${Math.round(pssBytes / 1e6)}`)
    .join(', ')
  return [
    {
      title: 'Start and idle',
      reference: 'a `node:http` server of three lines',
      rows: [
        comparedRow({ what: 'first start, spawn to listening', unit: 'ms', ...first }),
        comparedRow({ what: 'later start, spawn to listening', unit: 'ms', ...later }),
        plainRow({ what: 'idle memory of the server process', unit: 'MB', ours: [own.rssBytes / 1e6], note: 'RSS' }),
        plainRow({
          what: 'idle memory of all processes',
          unit: 'MB',
          ours: [tree.pssBytes / 1e6],
          note: `PSS; RSS ${Math.round(tree.rssBytes / 1e6)} MB; by process: ${members}`,
        }),
      ],
    },
  ]
}
