/**
 * Durable uploads per second, as raw bodies and as forms, beside a bare server that hashes and writes one synced file each; then
 * a minute without a pause. Nothing is deleted until the end: an ext4 without a journal avoids the inodes of files deleted within
 * the last minutes by looking at each, which would be measured here, in both servers, as half of their time.
 */

import { takeTurns } from '../interleave.ts'
import { makeJpeg } from '../jpegs.ts'
import { load, startGenerator } from '../load/generator.ts'
import type { LoadResult, Source } from '../load/job.ts'
import { readCounters } from '../metrics.ts'
import { type Origin, startOrigin } from '../origin.ts'
import type { Part, PartContext } from '../part.ts'
import { cpuSecondsOf, treeCpuSeconds } from '../process-tree.ts'
import { startPeer } from '../processes.ts'
import { plainRow, type Row, rowsAbout, type Section } from '../row.ts'
import { median } from '../statistics.ts'

const AT_ONCE = 32
const PICTURE = { width: 1200, height: 900, bytes: 100_000 } as const
/** 5,000,000 an hour. */
const WANTED_PER_SECOND = 5e6 / 3600
const BOUNDARY = 'oriel-bench-5b1f'

interface Slice extends LoadResult {
  /** Of the server and all its children, and of the server's own process, for each upload. */
  readonly cpuUs: number
  readonly serverUs: number
  readonly generatorUs: number
}

type Way = 'raw' | 'form'

const sourceOf = (way: Way, authorization: string, jpeg: Buffer, from: number): Source => {
  const type = way === 'raw' ? 'image/jpeg' : `multipart/form-data; boundary=${BOUNDARY}`
  const lines = ['POST /assets/upload HTTP/1.1', 'Host: 127.0.0.1', `Authorization: ${authorization}`]
  const head = [...lines, `Content-Type: ${type}`, ''].join('\r\n')
  const disposition = 'Content-Disposition: form-data; name="file"; filename="photo.jpg"\r\nContent-Type: image/jpeg'
  const wrap = { before: `--${BOUNDARY}\r\n${disposition}\r\n\r\n`, after: `\r\n--${BOUNDARY}--\r\n` }
  return { kind: 'jpegs', head, jpeg, from, ...(way === 'form' && { wrap }) }
}

/** How many uploads shared one sync of the database's log. */
const batches = async (origin: Origin): Promise<string> => {
  const counted = await readCounters(origin)
  const shared = (counted.get('oriel_commits_items_total') ?? 0) / (counted.get('oriel_commits_batches_total') ?? 1)
  return `one fdatasync and one sync of its folder each; ${shared.toFixed(1)} shared a transaction`
}

const cpuNote = (slices: readonly Slice[]): string => {
  const us = (pick: (slice: Slice) => number): number => Math.round(median(slices.map(pick)))
  return `server ${us(({ serverUs }) => serverUs)} µs, its children ${us(({ cpuUs, serverUs }) => cpuUs - serverUs)}; load generator ${us(({ generatorUs }) => generatorUs)}`
}

const rowsOf = (ours: readonly Slice[], reference: readonly Slice[], note: string): Row[] => {
  const row = rowsAbout({ ours, reference })
  return [
    row('uploads', '/s', ({ perSecond }) => perSecond, { target: { of: 'ratio', atLeast: 0.7 }, note }),
    row('CPU of all processes', 'µs', ({ cpuUs }) => cpuUs, { note: cpuNote(ours) }),
    row('p50', 'ms', ({ p50 }) => p50),
    row('p99', 'ms', ({ p99 }) => p99),
  ]
}

export const upload: Part = async (context) => {
  const jpeg = await makeJpeg(PICTURE.width, PICTURE.height, PICTURE.bytes)
  await using origin = await startOrigin()
  await using bare = startPeer<object, { port: number }>(new URL('../reference/bare-upload.ts', import.meta.url))
  await using generator = startGenerator()
  const { port } = await bare.ask({})

  let from = 0
  const slice = async (pid: number, target: number, way: Way, seconds: number): Promise<Slice> => {
    from += 1_000_000
    const source = sourceOf(way, origin.authorization, jpeg, from)
    const [tree, server, generating] = [treeCpuSeconds(pid), cpuSecondsOf(pid), cpuSecondsOf(generator.pid)]
    const result = await load(generator, { port: target, connections: AT_ONCE, source, seconds })
    const us = (now: number, before: number): number => ((now - before) * 1e6) / result.answered
    return {
      ...result,
      cpuUs: us(treeCpuSeconds(pid), tree),
      serverUs: us(cpuSecondsOf(pid), server),
      generatorUs: us(cpuSecondsOf(generator.pid), generating),
    }
  }
  const ours = (way: Way, seconds: number) => slice(origin.pid, origin.port, way, seconds)
  // Awaited here: the servers end with this block.
  return await measure(context, origin, ours, (seconds) => slice(bare.pid, port, 'raw', seconds), jpeg.length)
}

const measure = async (
  { quick, log }: PartContext,
  origin: Origin,
  ours: (way: Way, seconds: number) => Promise<Slice>,
  bare: (seconds: number) => Promise<Slice>,
  bytes: number,
): Promise<Section[]> => {
  const seconds = quick ? 1.5 : 2.5
  log(`${AT_ONCE} at once`)
  // Longer than what is measured: a server that has just started runs its code unoptimised.
  for (const way of ['raw', 'form'] as const) await ours(way, 2 * seconds)
  await bare(seconds)
  const sides = [() => ours('raw', seconds), () => ours('form', seconds), () => bare(seconds)]
  const [raw = [], form = [], reference = []] = await takeTurns(quick ? 2 : 4, sides)
  const long = quick ? 10 : 60
  log(`${long} s without a pause`)
  const sustained = await ours('raw', long)
  const what = `distinct JPEGs of ${Math.round(bytes / 1000)} kB, ${AT_ONCE} at once`
  const shared = await batches(origin)
  return [
    {
      title: `Uploads of ${what}`,
      reference:
        'bare `node:http` that receives, hashes and writes one fsynced file each: no look at the picture, no rows',
      rows: [
        ...rowsOf(raw, reference, shared),
        plainRow({
          what: `${long} s without a pause`,
          unit: '/s',
          ours: [sustained.perSecond],
          target: { of: 'ours', atLeast: WANTED_PER_SECOND },
          note: `p99 ${Math.round(sustained.p99)} ms; ${cpuNote([sustained])}`,
        }),
      ],
    },
    {
      title: 'The same as forms',
      reference: 'the same uploads as raw bodies',
      rows: rowsOf(form, raw, 'through busboy'),
    },
  ]
}
