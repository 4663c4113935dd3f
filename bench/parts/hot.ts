/** Hot hits and revalidations per second beside bare `node:http` sending the same bytes. */

import { type HotRequest, prepareHot } from '../hot-variant.ts'
import { interleave } from '../interleave.ts'
import type { CannonJob, CannonResult } from '../load/autocannon-process.ts'
import { load, startGenerator } from '../load/generator.ts'
import type { LoadResult } from '../load/job.ts'
import { startOrigin } from '../origin.ts'
import type { Part } from '../part.ts'
import { cpuSecondsOf, treeCpuSeconds } from '../process-tree.ts'
import { LOAD_CORE, SERVER_CORE, startPeer } from '../processes.ts'
import type { BareAnswer } from '../reference/bare-http.ts'
import { comparedRow, type Row, rowsAbout } from '../row.ts'

const CONNECTIONS = 64
const TARGET = { of: 'ratio', atLeast: 0.85 } as const

interface Slice extends LoadResult {
  /** Of the serving process, µs. */
  readonly cpuUs: number
  /** Of its children, µs a request: what recording costs elsewhere. */
  readonly childrenUs: number
}

export const hot: Part = async ({ quick, log }) => {
  const rounds = quick ? 3 : 8
  const seconds = quick ? 1 : 1.2
  await using origin = await startOrigin({ core: SERVER_CORE })
  await using bare = startPeer<BareAnswer, { port: number }>(new URL('../reference/bare-http.ts', import.meta.url), {
    core: SERVER_CORE,
  })
  await using generator = startGenerator(LOAD_CORE)
  await using cannon = startPeer<CannonJob, CannonResult>(new URL('../load/autocannon-process.ts', import.meta.url), {
    core: LOAD_CORE,
  })
  const requests = await prepareHot(origin)

  const slice = async (pid: number, port: number, { text }: HotRequest): Promise<Slice> => {
    const [own, tree] = [cpuSecondsOf(pid), treeCpuSeconds(pid)]
    const source = { kind: 'repeat', request: text } as const
    const result = await load(generator, { port, connections: CONNECTIONS, source, seconds })
    const cpuUs = ((cpuSecondsOf(pid) - own) * 1e6) / result.answered
    return { ...result, cpuUs, childrenUs: ((treeCpuSeconds(pid) - tree) * 1e6) / result.answered - cpuUs }
  }

  const series = [
    ['explicit URL', requests.explicit],
    ['negotiated URL, Chrome', requests.negotiated],
    ['304, explicit URL', requests.explicitAgain],
    ['304, negotiated URL', requests.negotiatedAgain],
  ] as const
  const rows: Row[] = []
  for (const [name, request] of series) {
    log(name)
    const { port } = await bare.ask(request.answer)
    await slice(origin.pid, origin.port, request)
    await slice(bare.pid, port, request)
    const slices = await interleave(
      rounds,
      () => slice(origin.pid, origin.port, request),
      () => slice(bare.pid, port, request),
    )
    const row = rowsAbout(slices, `${name}, `)
    const [first] = slices.ours
    const note = `${(request.answer.body.byteLength / 1000).toFixed(1)} kB body, ${request.answer.headers.length / 2} headers`
    rows.push(
      row('requests', '/s', ({ perSecond }) => perSecond, { target: TARGET, note }),
      row('CPU', 'µs', ({ cpuUs }) => cpuUs, { note: `children of Oriel: ${first?.childrenUs.toFixed(1)} µs more` }),
      row('p50', 'ms', ({ p50 }) => p50),
      row('p99', 'ms', ({ p99 }) => p99),
    )
  }

  log('explicit URL, by autocannon')
  const { explicit } = requests
  const { port } = await bare.ask(explicit.answer)
  const fire = async (target: number): Promise<number> => {
    const job = { path: explicit.path, headers: explicit.headers, connections: CONNECTIONS, seconds: quick ? 1 : 2 }
    return (await cannon.ask({ ...job, port: target })).perSecond
  }
  await fire(origin.port)
  const shots = await interleave(
    quick ? 2 : 4,
    () => fire(origin.port),
    () => fire(port),
  )
  rows.push(
    comparedRow({
      what: 'explicit URL, requests by autocannon',
      unit: '/s',
      ...shots,
      note: 'generator-bound if below the first row',
    }),
  )
  return [
    {
      title: `Hot: ${CONNECTIONS} connections, server on one core, load generator on the other`,
      reference: 'bare `node:http` on the same core, sending the same bytes and headers to the same requests',
      rows,
    },
  ]
}
