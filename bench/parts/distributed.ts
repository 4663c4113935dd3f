/** Two origins on S3, PostgreSQL and Redis beside the embedded origin: what sharing costs, hot and cold. */

import { ADMIN_KEY } from '../../test/e2e/origin.ts'
import { stackIsHere, startStack } from '../../test/engines/stack.ts'
import { prepareHot } from '../hot-variant.ts'
import { interleave, mostRounds } from '../interleave.ts'
import { LARGE, makeJpeg, numberedJpeg } from '../jpegs.ts'
import { load, startGenerator } from '../load/generator.ts'
import { getRequest } from '../load/job.ts'
import { type Origin, startOrigin, uploadAll } from '../origin.ts'
import type { Part } from '../part.ts'
import { cpuSecondsOf, treeCpuSeconds } from '../process-tree.ts'
import { LOAD_CORE } from '../processes.ts'
import { type Row, rowsAbout } from '../row.ts'
import { warmUp } from '../warm-up.ts'

const HOT_CONNECTIONS = 32
const COLD_CONNECTIONS = 4
const WIDTH = 800

/** An origin of the stack, as the bench's load speaks to one. */
const asOrigin = ({ url, pid }: { readonly url: string; readonly pid: number }): Origin => {
  const authorization = `Bearer ${ADMIN_KEY}`
  return {
    port: Number(new URL(url).port),
    pid,
    address: url,
    authorization,
    startMs: 0,
    upload: async (jpeg) => {
      const headers = { Authorization: authorization, 'Content-Type': 'image/jpeg' }
      const response = await fetch(`${url}/assets/upload`, { method: 'POST', headers, body: Buffer.from(jpeg) })
      const { hash } = (await response.json()) as { readonly hash?: string }
      if (response.status !== 201 || !hash) throw new Error(`an upload was answered ${response.status}`)
      return hash
    },
    wakeAnalytics: async () => false,
    [Symbol.asyncDispose]: async () => {},
  }
}

interface Sides {
  readonly embedded: Origin
  readonly first: Origin
  readonly second: Origin
  readonly generator: ReturnType<typeof startGenerator>
  readonly quick: boolean
  readonly rounds: number
  readonly log: (text: string) => void
}

/** A hot hit asks no engine: the same process, with the clients of three engines in it. */
const hotRows = async ({ embedded, first, generator, quick, rounds, log }: Sides): Promise<readonly Row[]> => {
  log('hot')
  const [theirs, ours] = [await prepareHot(embedded), await prepareHot(first)]
  const slice = async (origin: Origin, request: string) => {
    const cpu = cpuSecondsOf(origin.pid)
    const source = { kind: 'repeat', request } as const
    const seconds = quick ? 0.7 : 1.2
    const result = await load(generator, { port: origin.port, connections: HOT_CONNECTIONS, source, seconds })
    return { ...result, cpuUs: ((cpuSecondsOf(origin.pid) - cpu) * 1e6) / result.answered }
  }
  const mine = () => slice(first, ours.negotiated.text)
  const reference = () => slice(embedded, theirs.negotiated.text)
  await mine()
  await reference()
  const row = rowsAbout(await interleave(rounds, mine, reference), 'hot, negotiated, one origin of the two, ')
  return [
    row('requests', '/s', ({ perSecond }) => perSecond),
    row('CPU', 'µs', ({ cpuUs }) => cpuUs),
    row('p99', 'ms', ({ p99 }) => p99),
  ]
}

/** Each origin is asked for what the other has stored: the original comes from S3, the lease from Redis. */
const coldRows = async ({ embedded, first, second, generator, quick, rounds, log }: Sides): Promise<readonly Row[]> => {
  const jpeg = await makeJpeg(LARGE.width, LARGE.height, LARGE.bytes)
  const jobs = quick ? 12 : 32
  log(`cold: ${mostRounds(rounds)} rounds at the most, of ${jobs} renders a side`)
  let number = 0
  const slice = async (asked: Origin, stored: Origin) => {
    const jpegs = Array.from({ length: jobs }, () => numberedJpeg(jpeg, number++))
    const requests = (await uploadAll(stored, jpegs)).map((hash) => getRequest(`/i/${hash}/${WIDTH}x.jpg`))
    const cpu = treeCpuSeconds(asked.pid)
    const source = { kind: 'list', requests } as const
    const result = await load(generator, { port: asked.port, connections: COLD_CONNECTIONS, source, seconds: 120 })
    return { ...result, cpuMs: ((treeCpuSeconds(asked.pid) - cpu) * 1000) / jobs }
  }
  const slices = await interleave(
    rounds,
    (round) => (round % 2 ? slice(first, second) : slice(second, first)),
    () => slice(embedded, embedded),
  )
  const row = rowsAbout(slices, 'cold, JPEG, stored by the other origin, ')
  return [
    row('renders', '/s', ({ perSecond }) => perSecond),
    row('CPU of origin and renderers', 'ms', ({ cpuMs }) => cpuMs),
    row('p50', 'ms', ({ p50 }) => p50),
    row('p95', 'ms', ({ p95 }) => p95),
  ]
}

export const distributed: Part = async ({ quick, log }) => {
  if (!stackIsHere('the distributed part of the benchmark')) return []
  await using stack = await startStack({ origins: 2, env: { ORIEL_RENDERERS: '2' } })
  await stack.sharing()
  await using embedded = await startOrigin({ env: { ORIEL_RENDERERS: '2', ORIEL_ANALYTICS: 'off' } })
  await using generator = startGenerator(LOAD_CORE)
  const [first, second] = stack.origins.map(asOrigin)
  if (!first || !second) throw new Error('the stack has no two origins')
  log('warming up')
  for (const origin of [embedded, first, second]) await warmUp(origin, generator, 'jpg')
  const sides = { embedded, first, second, generator, quick, rounds: quick ? 2 : 6, log }
  return [
    {
      title: 'Two origins on S3 (Ceph), PostgreSQL and Redis, all on this machine',
      reference:
        'the embedded origin in the same run. Engines and origins share the cores; nothing is pinned but the load generator',
      rows: [...(await hotRows(sides)), ...(await coldRows(sides))],
    },
  ]
}
