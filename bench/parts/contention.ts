/**
 * Latency of hot hits while every core renders, beside the same with nothing to render. And of a bare server's, sending the same bytes,
 * while Oriel renders: what the machine leaves to anybody.
 */

import { prepareHot } from '../hot-variant.ts'
import { takeTurns } from '../interleave.ts'
import { LARGE, makeJpeg, numberedJpeg } from '../jpegs.ts'
import { load, startGenerator } from '../load/generator.ts'
import { getRequest, type LoadResult } from '../load/job.ts'
import { startOrigin, uploadAll } from '../origin.ts'
import type { Part } from '../part.ts'
import { startPeer } from '../processes.ts'
import type { BareAnswer } from '../reference/bare-http.ts'
import { plainRow, type Row, rowsAbout } from '../row.ts'

const COLD_AT_ONCE = 8
const ORIGINALS = 120
/** Distinct variants of one original: steps of the ladder that cost about as much as 800 px. */
const WIDTHS = [600, 640, 720, 750, 768, 800, 828, 900, 960, 1024] as const
const FORMATS = ['jpg', 'webp', 'avif'] as const

/** Saturated: as many requests as the server can answer. Paced: what a page's visitors feel, with the server far from busy. */
const SHAPES = [
  { name: 'as fast as it goes, 64 connections', connections: 64 },
  { name: '1,000 requests a second', connections: 16, perSecond: 1_000 },
] as const

export const contention: Part = async ({ quick, log }) => {
  const rounds = quick ? 2 : 4
  const seconds = quick ? 1.5 : 2.5
  await using origin = await startOrigin()
  await using hotGenerator = startGenerator()
  await using coldGenerator = startGenerator()
  await using bare = startPeer<BareAnswer, { port: number }>(new URL('../reference/bare-http.ts', import.meta.url))
  const { negotiated } = await prepareHot(origin)
  const jpeg = await makeJpeg(LARGE.width, LARGE.height, LARGE.bytes)
  const hashes = await uploadAll(
    origin,
    Array.from({ length: ORIGINALS }, (_, index) => numberedJpeg(jpeg, index)),
  )
  const variants = WIDTHS.flatMap((width) =>
    FORMATS.flatMap((format) => hashes.map((hash) => getRequest(`/i/${hash}/${width}x.${format}`))),
  )

  const rows: Row[] = []
  const { port: barePort } = await bare.ask(negotiated.answer)
  let used = 0
  for (const { name, ...shape } of SHAPES) {
    log(name)
    const source = { kind: 'repeat', request: negotiated.text } as const
    const hot = (port = origin.port): Promise<LoadResult> => load(hotGenerator, { port, source, seconds, ...shape })
    const loaded = async (port = origin.port): Promise<LoadResult & { readonly renders: number }> => {
      const requests = variants.slice(used)
      if (requests.length === 0) throw new Error(`all ${variants.length} variants are made: no cold load is left`)
      const cold = load(coldGenerator, {
        port: origin.port,
        connections: COLD_AT_ONCE,
        source: { kind: 'list', requests },
        seconds: seconds + 1,
      })
      await new Promise((resolve) => setTimeout(resolve, 500))
      const result = await hot(port)
      const { answered, perSecond } = await cold
      used += answered
      return { ...result, renders: perSecond }
    }
    await hot()
    await hot(barePort)
    // Nothing renders while a server is idle: the zero is only to be of one kind with the others.
    const idle = async (port: number) => ({ ...(await hot(port)), renders: 0 })
    const sides = [() => loaded(), () => idle(origin.port), () => loaded(barePort), () => idle(barePort)]
    const [ours = [], reference = [], bareLoaded = [], bareIdle = []] = await takeTurns(rounds, sides)
    const row = rowsAbout({ ours, reference }, `${name}: `)
    const bareRow = rowsAbout(
      { ours: bareLoaded, reference: bareIdle },
      `${name}, a bare server beside the same renders: `,
    )
    rows.push(
      row('p99', 'ms', ({ p99 }) => p99, { target: { of: 'ratio', atMost: 5 } }),
      row('p50', 'ms', ({ p50 }) => p50),
      row('requests', '/s', ({ perSecond }) => perSecond),
      bareRow('p99', 'ms', ({ p99 }) => p99, { note: 'bare `node:http`, not Oriel' }),
      plainRow({ what: `${name}: renders meanwhile`, unit: '/s', ours: ours.map(({ renders }) => renders) }),
    )
  }
  return [
    {
      title: `Hot hits while ${COLD_AT_ONCE} cold renders are always under way`,
      reference: 'the same hot hits of the same server with nothing to render; nothing is pinned to a core',
      rows,
    },
  ]
}
