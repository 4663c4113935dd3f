/** What a cold negotiated AVIF costs and weighs beside WebP of the same URL. */
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { interleave, mostRounds } from '../interleave.ts'
import { LARGE, makeJpeg, numberedJpeg } from '../jpegs.ts'
import { CHROME_HEADERS } from '../load/job.ts'
import { type Origin, startOrigin, uploadAll } from '../origin.ts'
import type { Part } from '../part.ts'
import { rowsAbout } from '../row.ts'
import { median } from '../statistics.ts'

const CORPUS = new URL('../../../shared/corpus/photos/', import.meta.url)
const ACCEPT = { avif: CHROME_HEADERS.Accept, webp: 'image/webp,*/*;q=0.8' } as const
const WIDTH = 800

interface Taken {
  readonly ms: number
  readonly bytes: number
}

const fetchCold = async (origin: Origin, hash: string, format: 'avif' | 'webp'): Promise<Taken> => {
  const from = performance.now()
  const response = await fetch(`${origin.address}/i/${hash}/${WIDTH}x.auto`, {
    headers: { ...CHROME_HEADERS, Accept: ACCEPT[format] },
  })
  const { byteLength } = await response.arrayBuffer()
  const type = response.headers.get('Content-Type')
  if (response.status !== 200 || type !== `image/${format}`)
    throw new Error(`${response.status} ${type}, not ${format}`)
  return { ms: performance.now() - from, bytes: byteLength }
}

const corpusPhotos = (): readonly string[] => {
  try {
    return readdirSync(CORPUS).filter((name) => name.endsWith('.jpg'))
  } catch {
    return []
  }
}

export const avif: Part = async ({ quick, log }) => {
  await using origin = await startOrigin()
  let copies = 0
  const measure = async (jpeg: Uint8Array, pairs: number) => {
    const numbered = Array.from({ length: mostRounds(pairs) }, (_, index) => numberedJpeg(jpeg, copies + index))
    copies += numbered.length
    const hashes = await uploadAll(origin, numbered)
    const ask = (format: 'avif' | 'webp') => (round: number) => fetchCold(origin, hashes[round] ?? '', format)
    return interleave(pairs, ask('avif'), ask('webp'))
  }
  log('one photo')
  const large = await makeJpeg(LARGE.width, LARGE.height, LARGE.bytes)
  await measure(large, 2)
  const one = await measure(large, quick ? 8 : 40)
  const rowsOf = (what: string, taken: Awaited<ReturnType<typeof measure>>) => {
    const row = rowsAbout(taken, `${what}, `)
    return [
      row('time of a cold answer', 'ms', ({ ms }) => ms, { target: { of: 'ratio', atMost: 1.1 } }),
      row('bytes', 'kB', ({ bytes }) => bytes / 1000),
    ]
  }
  const rows = rowsOf('the fixture photo', one)

  const photos = corpusPhotos().slice(0, quick ? 2 : undefined)
  const each: { ours: Taken[]; reference: Taken[] } = { ours: [], reference: [] }
  const middle = (taken: readonly Taken[]): Taken => ({
    ms: median(taken.map(({ ms }) => ms)),
    bytes: median(taken.map(({ bytes }) => bytes)),
  })
  if (photos.length > 0) log(`${photos.length} photos of the corpus`)
  for (const photo of photos) {
    const taken = await measure(await readFile(new URL(photo, CORPUS)), 3)
    each.ours.push(middle(taken.ours))
    each.reference.push(middle(taken.reference))
  }
  if (photos.length > 0) rows.push(...rowsOf(`${photos.length} photos of the corpus`, each))
  return [
    {
      title: `Negotiated AVIF, cold, ${WIDTH} px`,
      reference: 'the same URL asked for by a client that shows WebP and not AVIF',
      rows,
    },
  ]
}
