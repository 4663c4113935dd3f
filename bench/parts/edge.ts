/** The edge in nginx: what a hit costs beside the same bytes as a file, and how often it hits when logs of real sites are replayed. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { constants, gunzipSync } from 'node:zlib'
import { type HotRequest, prepareHot } from '../hot-variant.ts'
import { takeTurns } from '../interleave.ts'
import { makeJpeg, numberedJpeg } from '../jpegs.ts'
import { load, startGenerator } from '../load/generator.ts'
import type { LoadResult } from '../load/job.ts'
import { getRequest } from '../load/job.ts'
import { type BenchEdge, hasNginx, startBenchEdge } from '../nginx.ts'
import { type Origin, startOrigin, uploadAll } from '../origin.ts'
import type { Part, PartContext } from '../part.ts'
import { treeCpuSeconds } from '../process-tree.ts'
import { LOAD_CORE } from '../processes.ts'
import { hasTraces, imageRequests, type LoggedRequest, readDevices, readShopLog, readWebLog } from '../replay.ts'
import { comparedRow, plainRow, type Row, type Section } from '../row.ts'

const CONNECTIONS = 64
const TARGET = { of: 'ratio', atLeast: 0.9 } as const

export const edge: Part = async (context) => {
  if (!hasNginx) return []
  const sections = [await hits(context)]
  if (hasTraces) sections.push(await replays(context))
  else context.log('left out: the replayed logs, since ../shared/corpus/traces is not here')
  return sections
}

interface Slice extends LoadResult {
  /** Of nginx, µs a request. */
  readonly cpuUs: number
}

const hits = async ({ quick, log }: PartContext): Promise<Section> => {
  const rounds = quick ? 2 : 8
  const seconds = quick ? 0.5 : 1.2
  await using origin = await startOrigin()
  const { explicit, negotiated } = await prepareHot(origin)
  await using nginx = await startBenchEdge(origin, [explicit, negotiated])
  await using generator = startGenerator(LOAD_CORE)

  const slice = async (port: number, { text }: HotRequest): Promise<Slice> => {
    const before = treeCpuSeconds(nginx.pid)
    const source = { kind: 'repeat', request: text } as const
    const result = await load(generator, { port, connections: CONNECTIONS, source, seconds })
    return { ...result, cpuUs: ((treeCpuSeconds(nginx.pid) - before) * 1e6) / result.answered }
  }
  const rows: Row[] = []
  for (const [name, request] of [
    ['explicit URL', explicit],
    ['negotiated URL, Chrome', negotiated],
  ] as const) {
    log(name)
    const sides = [nginx.port, nginx.files, nginx.bareFiles].map((port) => () => slice(port, request))
    await takeTurns(1, sides)
    const [ours = [], files = [], bare = []] = await takeTurns(rounds, sides)
    const row = (what: string, unit: string, reference: readonly Slice[], pick: (slice: Slice) => number) =>
      ({ what: `${name}, ${what}`, unit, ours: ours.map(pick), reference: reference.map(pick) }) as const
    const note = `${(request.answer.body.byteLength / 1000).toFixed(1)} kB body`
    rows.push(
      comparedRow({ ...row('hits', '/s', files, ({ perSecond }) => perSecond), target: TARGET, note }),
      comparedRow(row('CPU of nginx', 'µs', files, ({ cpuUs }) => cpuUs)),
      comparedRow(row('p99', 'ms', files, ({ p99 }) => p99)),
      comparedRow(row('hits, beside files without a log', '/s', bare, ({ perSecond }) => perSecond)),
    )
  }
  return {
    title: `Edge: hits of nginx, ${CONNECTIONS} connections, one worker on one core, load generator on the other`,
    reference: 'the same worker sending the same bytes from a file on disk, with the same access log',
    rows,
  }
}

/** A small site has some dozens; 48 × 6 widths hold every image of the web log apart, a third of the shop's 3,299 products share one. */
const PICTURES = 48
const SHOP_PICTURES = 400
const SHOP_REQUESTS = 5_000
/** At most so many at once: the order of the log is kept, and a cold render holds up half of it. */
const AT_ONCE = 2
/** As an editor exports for the web: 0.1 MB, so that the replay is not a benchmark of decoding. */
const PICTURE = { width: 1600, height: 1200, bytes: 150_000 } as const

const replays = async ({ quick, log }: PartContext): Promise<Section> => {
  const rows: Row[] = []
  const shop = readShopLog(quick ? 300 : SHOP_REQUESTS)
  for (const [name, requests, pictures] of [
    ['web log', quick ? readWebLog().slice(0, 300) : readWebLog(), PICTURES],
    ['shop', shop, quick ? 20 : SHOP_PICTURES],
  ] as const) {
    log(`replays the ${name}`)
    rows.push(...(await replay(name, requests, pictures)))
  }
  return {
    title: 'Edge: logs of real sites, replayed in their order through an empty nginx and a cold origin',
    reference:
      'none; each logged image is one of the uploaded pictures at one width, each client one of 40 real devices',
    rows,
  }
}

const replay = async (name: string, logged: readonly LoggedRequest[], pictures: number): Promise<readonly Row[]> => {
  await using origin = await startOrigin()
  await using nginx = await startBenchEdge(origin)
  await using generator = startGenerator()
  const jpeg = await makeJpeg(PICTURE.width, PICTURE.height, PICTURE.bytes)
  const hashes = await uploadAll(
    origin,
    Array.from({ length: pictures }, (_, number) => numberedJpeg(jpeg, number)),
  )
  const asked = imageRequests(logged, hashes, readDevices())
  const before = await countersOf(origin)
  const source = { kind: 'list', requests: asked.map(({ path, headers }) => getRequest(path, headers)) } as const
  const { p50, p99 } = await load(generator, { port: nginx.port, connections: AT_ONCE, source, seconds: 3600 })
  const after = await countersOf(origin)
  const statuses = await edgeStatuses(nginx, asked.length)
  const count = (status: string): number => statuses.filter((each) => each === status).length
  const images = new Set(asked.map(({ path }) => path)).size
  const row = (what: string, unit: string, figure: number, note?: string) =>
    plainRow({ what: `${name}, ${what}`, unit, ours: [figure], ...(note !== undefined && { note }) })
  return [
    row('hit rate', '%', (100 * count('HIT')) / asked.length, `${asked.length} requests for ${images} URLs`),
    row('requests of the origin', '', after.requests - before.requests, `${count('BYPASS')} passed on as odd`),
    row('renders', '', after.renders - before.renders),
    row('p50', 'ms', p50),
    row('p99', 'ms', p99, 'a cold render'),
  ]
}

const countersOf = async ({ address }: Origin): Promise<{ readonly requests: number; readonly renders: number }> => {
  const text = await (await fetch(`${address}/metrics`)).text()
  const read = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1])
  return {
    requests: read('oriel_delivery_hot_total') + read('oriel_delivery_full_total'),
    renders: read('oriel_renderers_rendered_total'),
  }
}

/** nginx flushes its log every 5 s. */
const FLUSH_TRIES = 150
const TRY_MS = 100

/** What became of each request at the edge, from its access log. @throws Error when lines are missing. */
const edgeStatuses = async ({ folder }: BenchEdge, expected: number): Promise<readonly string[]> => {
  for (let tries = 0; tries < FLUSH_TRIES; tries += 1) {
    const file = await readFile(join(folder, 'events.log.gz')).catch(() => Buffer.alloc(0))
    // The file has no end while nginx runs.
    const text = file.length > 0 ? gunzipSync(file, { finishFlush: constants.Z_SYNC_FLUSH }).toString() : ''
    const lines = text.split('\n').filter(Boolean)
    if (lines.length >= expected) return lines.map((line) => (JSON.parse(line) as { readonly edge: string }).edge)
    await sleep(TRY_MS)
  }
  throw new Error(`nginx has logged fewer than ${expected} requests`)
}
