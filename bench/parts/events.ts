/** What recording every request costs a hot hit, and how much of that figure is noise. */
import { prepareHot } from '../hot-variant.ts'
import { takeTurns } from '../interleave.ts'
import { load, startGenerator } from '../load/generator.ts'
import { type Origin, startOrigin } from '../origin.ts'
import type { Part } from '../part.ts'
import { cpuSecondsOf, treeCpuSeconds } from '../process-tree.ts'
import { LOAD_CORE, SERVER_CORE } from '../processes.ts'
import { rowsAbout } from '../row.ts'

const CONNECTIONS = 64
const TARGET = { of: 'ratio', atLeast: 0.97 } as const

interface Slice {
  readonly perSecond: number
  /** Of the serving process alone, µs a request. */
  readonly cpuUs: number
  /** Of all processes, µs a request. */
  readonly treeUs: number
}

export const events: Part = async ({ quick, log }) => {
  const rounds = quick ? 3 : 10
  const seconds = quick ? 1 : 1.5
  const start = (analytics: 'on' | 'off') => startOrigin({ core: SERVER_CORE, env: { ORIEL_ANALYTICS: analytics } })
  await using on = await start('on')
  await using off = await start('off')
  await using offAgain = await start('off')
  await using generator = startGenerator(LOAD_CORE)
  const origins = [on, off, offAgain]
  const requests: string[] = []
  for (const origin of origins) requests.push((await prepareHot(origin)).negotiated.text)

  const slice = async (origin: Origin, request: string): Promise<Slice> => {
    const [own, tree] = [cpuSecondsOf(origin.pid), treeCpuSeconds(origin.pid)]
    const source = { kind: 'repeat', request } as const
    const { perSecond, answered } = await load(generator, {
      port: origin.port,
      connections: CONNECTIONS,
      source,
      seconds,
    })
    return {
      perSecond,
      cpuUs: ((cpuSecondsOf(origin.pid) - own) * 1e6) / answered,
      treeUs: ((treeCpuSeconds(origin.pid) - tree) * 1e6) / answered,
    }
  }
  log('on, off, off again')
  const sides = origins.map((origin, at) => () => slice(origin, requests[at] ?? ''))
  await takeTurns(1, sides)
  const [withEvents = [], without = [], withoutAgain = []] = await takeTurns(rounds, sides)
  const row = rowsAbout({ ours: withEvents, reference: without })
  return [
    {
      title: 'Recording of delivery events, at full hot load',
      reference: '`ORIEL_ANALYTICS=off`; negotiated URL, Chrome headers, all processes of the server on one core',
      rows: [
        row('requests', '/s', ({ perSecond }) => perSecond, { target: TARGET }),
        row('CPU of the server', 'µs', ({ cpuUs }) => cpuUs),
        row('CPU of all its processes', 'µs', ({ treeUs }) => treeUs),
        rowsAbout({ ours: withoutAgain, reference: without })(
          'noise: off against off, requests',
          '/s',
          ({ perSecond }) => perSecond,
        ),
      ],
    },
  ]
}
