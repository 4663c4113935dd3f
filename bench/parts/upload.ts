/** Durable uploads per second beside a bare server that hashes and writes one synced file each. */

import { interleave } from '../interleave.ts'
import { makeJpeg } from '../jpegs.ts'
import { load, startGenerator } from '../load/generator.ts'
import type { LoadResult } from '../load/job.ts'
import { startOrigin } from '../origin.ts'
import type { Part } from '../part.ts'
import { treeCpuSeconds } from '../process-tree.ts'
import { startPeer } from '../processes.ts'
import { comparedRow } from '../row.ts'

const AT_ONCE = 32
const PICTURE = { width: 1200, height: 900, bytes: 100_000 } as const

interface Slice extends LoadResult {
  readonly cpuUs: number
}

export const upload: Part = async ({ quick, log }) => {
  const rounds = quick ? 2 : 4
  const seconds = quick ? 1.5 : 2.5
  const jpeg = await makeJpeg(PICTURE.width, PICTURE.height, PICTURE.bytes)
  await using origin = await startOrigin()
  await using bare = startPeer<object, { port: number }>(new URL('../reference/bare-upload.ts', import.meta.url))
  await using generator = startGenerator()
  const { port } = await bare.ask({})
  const head = [
    'POST /assets/upload HTTP/1.1',
    'Host: 127.0.0.1',
    `Authorization: ${origin.authorization}`,
    'Content-Type: image/jpeg',
    '',
  ].join('\r\n')

  let from = 0
  const slice = async (pid: number, target: number): Promise<Slice> => {
    from += 1_000_000
    const cpuFrom = treeCpuSeconds(pid)
    const source = { kind: 'jpegs', head, jpeg, from } as const
    const result = await load(generator, { port: target, connections: AT_ONCE, source, seconds })
    return { ...result, cpuUs: ((treeCpuSeconds(pid) - cpuFrom) * 1e6) / result.answered }
  }
  log(`${AT_ONCE} at once`)
  await slice(origin.pid, origin.port)
  await slice(bare.pid, port)
  const slices = await interleave(
    rounds,
    () => slice(origin.pid, origin.port),
    () => slice(bare.pid, port),
  )
  const row = (what: string, unit: string, pick: (slice: Slice) => number) =>
    comparedRow({ what, unit, ours: slices.ours.map(pick), reference: slices.reference.map(pick) })
  return [
    {
      title: `Uploads of distinct JPEGs of ${Math.round(jpeg.length / 1000)} kB, ${AT_ONCE} at once`,
      reference:
        'bare `node:http` that receives, hashes and writes one fsynced file each: no look at the picture, no rows',
      rows: [
        row('uploads', '/s', ({ perSecond }) => perSecond),
        row('CPU of all processes', 'µs', ({ cpuUs }) => cpuUs),
        row('p50', 'ms', ({ p50 }) => p50),
        row('p99', 'ms', ({ p99 }) => p99),
      ],
    },
  ]
}
