/** Time of a duplicate precheck with a million originals known, beside a thousand. */
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { interleave } from '../interleave.ts'
import { load, startGenerator } from '../load/generator.ts'
import type { LoadResult } from '../load/job.ts'
import { type Origin, startOrigin } from '../origin.ts'
import type { Part } from '../part.ts'
import { LOAD_CORE, SERVER_CORE } from '../processes.ts'
import { type Row, rowsAbout } from '../row.ts'
import { seededBytes, seededDigest, seedOriginals, unknownDigest } from '../seed.ts'

const MANY = 1_000_000
const FEW = 1_000
const CONNECTIONS = 16
/** Some two seconds as fast as they are answered: a fifth of that measured the compiler, not the look-up. */
const REQUESTS = 10_000
const TARGET_MS = 5

const precheckRequest = (authorization: string, sha256: string, size: number): string => {
  const body = JSON.stringify({ sha256, size })
  return [
    'POST /assets/precheck HTTP/1.1',
    'Host: 127.0.0.1',
    `Authorization: ${authorization}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n')
}

/** Half are unknown, a quarter the caller's own, a quarter somebody else's; spread over the whole table by a fixed stride. */
const mixedRequests = (origin: Origin, known: number, from: number): readonly string[] =>
  Array.from({ length: REQUESTS }, (_, index) => {
    const number = ((from + index) * 611_953) % known
    const sha256 = index % 2 === 0 ? unknownDigest(number) : seededDigest(number)
    return precheckRequest(origin.authorization, sha256, seededBytes(number))
  })

const seed = async (dataFolder: string, count: number): Promise<void> => {
  // The first start makes the schema.
  await (await startOrigin({ dataFolder }))[Symbol.asyncDispose]()
  seedOriginals(dataFolder, count)
}

export const precheck: Part = async ({ quick, log }) => {
  log(`seeding ${MANY} originals`)
  await using manyFolder = await mkdtempDisposable(join(tmpdir(), 'oriel-bench-'))
  await using fewFolder = await mkdtempDisposable(join(tmpdir(), 'oriel-bench-'))
  await seed(manyFolder.path, MANY)
  await seed(fewFolder.path, FEW)
  await using many = await startOrigin({ core: SERVER_CORE, dataFolder: manyFolder.path })
  await using few = await startOrigin({ core: SERVER_CORE, dataFolder: fewFolder.path })
  await using generator = startGenerator(LOAD_CORE)

  const rows: Row[] = []
  for (const { name, perSecond } of [
    { name: `${CONNECTIONS} at once`, perSecond: undefined },
    { name: '500 a second', perSecond: 500 },
  ]) {
    log(name)
    let from = 0
    const ask = async (origin: Origin, known: number): Promise<LoadResult> => {
      from += REQUESTS
      return load(generator, {
        port: origin.port,
        connections: CONNECTIONS,
        source: { kind: 'list', requests: mixedRequests(origin, known, from) },
        seconds: perSecond ? 3 : 60,
        ...(perSecond && { perSecond }),
      })
    }
    await ask(many, MANY)
    await ask(few, FEW)
    const slices = await interleave(
      quick ? 2 : 5,
      () => ask(many, MANY),
      () => ask(few, FEW),
    )
    const row = rowsAbout(slices, `${name}: `)
    rows.push(
      row('p99', 'ms', ({ p99 }) => p99, { target: { of: 'ours', atMost: TARGET_MS } }),
      row('p50', 'ms', ({ p50 }) => p50),
      row('prechecks', '/s', (slice) => slice.perSecond),
    )
  }
  return [
    {
      title: `Precheck with ${MANY.toLocaleString('en-GB')} originals known`,
      reference: `the same with ${FEW.toLocaleString('en-GB')}; half of the hashes unknown, a quarter the caller's, a quarter somebody else's`,
      rows,
    },
  ]
}
