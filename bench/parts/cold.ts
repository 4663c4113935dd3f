/** Cold renders per second, and the memory they take, beside as many bare sharp loops doing the same work. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { interleave, mostRounds } from '../interleave.ts'
import { LARGE, makeJpeg, numberedJpeg } from '../jpegs.ts'
import { load, startGenerator } from '../load/generator.ts'
import { getRequest } from '../load/job.ts'
import { startOrigin, uploadAll } from '../origin.ts'
import type { Part } from '../part.ts'
import { treeCpuSeconds, watchMemory } from '../process-tree.ts'
import { startSharpLoops } from '../reference/sharp-loops.ts'
import { plainRow, type Row, rowsAbout } from '../row.ts'
import { percentile } from '../statistics.ts'
import { warmUp } from '../warm-up.ts'

/** Jobs a slice: one to two seconds each on two cores. */
const SERIES = [
  { name: 'JPEG', extension: 'jpg', format: 'jpeg', jobs: 60, judged: true },
  { name: 'WebP', extension: 'webp', format: 'webp', jobs: 30, judged: true },
  { name: 'AVIF', extension: 'avif', format: 'avif', jobs: 36, judged: false },
] as const
const CONCURRENCIES = [2, 8] as const
const WIDTH = 800
const HEIGHT = Math.round((LARGE.height * WIDTH) / LARGE.width)
const WARM_UP = 8
/** Copies that the reference reads in turn; its file system cache holds them, as it holds what Oriel has just stored. */
const REFERENCE_FILES = 40
const MEMORY_TARGET_MB = 400
/** Another step of the ladder: variants that no slice has made. */
const OTHER_WIDTH = 720

interface Slice {
  readonly perSecond: number
  readonly p50: number
  readonly p95: number
  readonly cpuMsPerJob: number
  readonly bytes: number
}

export const cold: Part = async ({ quick, log }) => {
  const rounds = quick ? 2 : 5
  const jpeg = await makeJpeg(LARGE.width, LARGE.height, LARGE.bytes)
  const perFormat = (jobs: number): number => WARM_UP + CONCURRENCIES.length * (mostRounds(rounds) + 1) * jobs
  const originals = Math.max(...SERIES.map(({ jobs }) => perFormat(jobs)))
  log(`storing ${originals} originals of ${jpeg.length} bytes`)
  await using folder = await mkdtempDisposable(join(tmpdir(), 'oriel-bench-'))
  const paths = Array.from({ length: REFERENCE_FILES }, (_, index) => join(folder.path, `${index}.jpg`))
  await Promise.all(paths.map((path, index) => writeFile(path, numberedJpeg(jpeg, index))))

  await using origin = await startOrigin()
  await using loops = startSharpLoops(availableParallelism())
  await using generator = startGenerator()
  log('warming up')
  await warmUp(origin, generator, 'jpg')
  const hashes: string[] = []
  for (let at = 0; at < originals; at += REFERENCE_FILES) {
    const count = Math.min(REFERENCE_FILES, originals - at)
    hashes.push(
      ...(await uploadAll(
        origin,
        Array.from({ length: count }, (_, index) => numberedJpeg(jpeg, at + index)),
      )),
    )
  }

  const rows: Row[] = []
  let [pssBytes, rssBytes, members] = [0, 0, '']
  for (const { name, extension, format, jobs, judged } of SERIES) {
    const unused = [...hashes]
    const takeRequests = (count: number) =>
      unused.splice(0, count).map((hash) => getRequest(`/i/${hash}/${WIDTH}x.${extension}`))
    const loopJobs = Array.from({ length: jobs }, (_, index) => ({
      path: paths[index % paths.length] ?? '',
      format,
      width: WIDTH,
      height: HEIGHT,
    }))
    const ours = async (connections: number, count: number): Promise<Slice> => {
      const cpuFrom = treeCpuSeconds(origin.pid)
      const source = { kind: 'list', requests: takeRequests(count) } as const
      const result = await load(generator, { port: origin.port, connections, source, seconds: 120 })
      const cpuMsPerJob = ((treeCpuSeconds(origin.pid) - cpuFrom) * 1000) / count
      return { ...result, bytes: result.bytesPerAnswer, cpuMsPerJob }
    }
    // Not while time is taken: to read the maps costs a core some percent, and stops the processes that are read.
    const watched = async (connections: number, count: number): Promise<void> => {
      using memory = watchMemory(origin.pid)
      await ours(connections, count)
      if (memory.peak.pssBytes > pssBytes) ({ pssBytes, rssBytes, members } = memory.peak)
    }
    const reference = async (concurrency: number): Promise<Slice> => {
      const { latencies, ...result } = await loops.run(loopJobs, concurrency)
      return { ...result, p50: percentile(latencies, 0.5), p95: percentile(latencies, 0.95) }
    }
    await ours(2, WARM_UP)
    await loops.run(loopJobs.slice(0, WARM_UP), 2)
    for (const concurrency of CONCURRENCIES) {
      log(`${name}, ${concurrency} at once`)
      const slices = await interleave(
        rounds,
        () => ours(concurrency, jobs),
        () => reference(concurrency),
      )
      const row = rowsAbout(slices, `${name} ×${concurrency}, `)
      const note = `${(slices.reference[0]?.bytes ?? 0) / 1000} kB a variant`
      rows.push(
        row('renders', '/s', ({ perSecond }) => perSecond, {
          note,
          ...(judged && { target: { of: 'ratio', atLeast: 0.95 } }),
        }),
        row('CPU', 'ms', ({ cpuMsPerJob }) => cpuMsPerJob),
        row('p50', 'ms', ({ p50 }) => p50),
        row('p95', 'ms', ({ p95 }) => p95),
      )
      await watched(concurrency, jobs)
    }
  }
  const note = `PSS; RSS ${Math.round(rssBytes / 1e6)} MB; by process: ${members}`
  const target = { of: 'ours', atMost: MEMORY_TARGET_MB } as const
  rows.push(plainRow({ what: 'peak memory of all processes', unit: 'MB', ours: [pssBytes / 1e6], target, note }))

  log('memory while the analytics engine is awake')
  if (await origin.wakeAnalytics()) {
    using memory = watchMemory(origin.pid)
    const requests = hashes.slice(0, 120).map((hash) => getRequest(`/i/${hash}/${OTHER_WIDTH}x.jpg`))
    await load(generator, { port: origin.port, connections: 8, source: { kind: 'list', requests }, seconds: 120 })
    const { peak } = memory
    rows.push(
      plainRow({
        what: 'the same while the analytics engine is awake',
        unit: 'MB',
        ours: [peak.pssBytes / 1e6],
        note: `PSS; RSS ${Math.round(peak.rssBytes / 1e6)} MB; by process: ${peak.members}`,
      }),
    )
  }
  return [
    {
      title: `Cold: JPEG ${LARGE.width}×${LARGE.height} (${(jpeg.length / 1e6).toFixed(2)} MB) → ${WIDTH} px`,
      reference: `${availableParallelism()} processes of bare sharp, with the same encoder settings, one picture at a time each; nothing sent, nothing kept`,
      rows,
    },
  ]
}
