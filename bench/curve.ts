/**
 * The encoder curve: bytes and CPU of every format × effort × q at 400, 800 and 1600 px, and what each costs at the score that
 * JPEG q 75 reaches there. `node bench/curve.ts`; two minutes idle, five on a busy machine; writes bench/results/curve.json.
 *
 * The score is SSIMULACRA (1.0: 0 is equal, lower is better) by `ssimulacra_main` of Debian's libjxl-devtools. The levels in
 * `src/imaging/encode.ts` were chosen by version 2 of the same metric, which no Debian 12 package has; the two agree on the order.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp, { type JpegOptions, type Sharp } from 'sharp'

const PHOTOS = fileURLToPath(new URL('../../shared/corpus/photos/', import.meta.url))
const FILES = ['Dragonfly_by_Bolly.jpg', 'ultrahdr_01.jpg', 'aitzgorri_by_Aitzol_Berasategi.jpg']
const SIZES = [400, 800, 1600]
const REFERENCE_Q = 75

interface Codec {
  readonly name: string
  readonly qualities: readonly number[]
  encode(image: Sharp, quality: number): Sharp
}

const webp = (effort: number): Codec => ({
  name: `webp effort ${effort}`,
  qualities: [70, 80, 90],
  encode: (image, quality) => image.webp({ quality, effort }),
})
const avif = (effort: number, chromaSubsampling: string): Codec => ({
  name: `avif effort ${effort} ${chromaSubsampling}`,
  qualities: [50, 62, 74],
  encode: (image, quality) => image.avif({ quality, effort, chromaSubsampling }),
})
const jpeg = (name: string, options: JpegOptions): Codec => ({
  name,
  qualities: [62, REFERENCE_Q, 86],
  encode: (image, quality) => image.jpeg({ quality, ...options }),
})
const CODECS: readonly Codec[] = [
  jpeg('jpeg', {}),
  jpeg('jpeg progressive', { progressive: true }),
  jpeg('jpeg mozjpeg', { mozjpeg: true }),
  webp(2),
  webp(3),
  webp(4),
  avif(0, '4:2:0'),
  avif(0, '4:4:4'),
  avif(2, '4:2:0'),
]

/** Two PNG files in, one number out. @throws where the tool is not installed. */
const score = (original: string, decoded: string): number =>
  Number(execFileSync('ssimulacra_main', [original, decoded], { stdio: ['ignore', 'pipe', 'ignore'] }))

interface Point {
  readonly file: string
  readonly size: number
  readonly codec: string
  readonly quality: number
  readonly bytes: number
  readonly cpuMs: number
  readonly score: number
}

const measure = async (file: string, size: number, folder: string): Promise<Point[]> => {
  const source = sharp(PHOTOS + file)
    .resize(size)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
  const { data, info } = await source.toBuffer({ resolveWithObject: true })
  const raw = { width: info.width, height: info.height, channels: info.channels }
  const [original, decoded] = [join(folder, 'original.png'), join(folder, 'decoded.png')]
  await sharp(data, { raw }).png({ compressionLevel: 1 }).toFile(original)
  const points: Point[] = []
  for (const codec of CODECS) {
    for (const quality of codec.qualities) {
      const before = process.cpuUsage()
      const bytes = await codec.encode(sharp(data, { raw }), quality).toBuffer()
      const { user, system } = process.cpuUsage(before)
      await sharp(bytes).png({ compressionLevel: 1 }).toFile(decoded)
      const cpuMs = (user + system) / 1000
      points.push({
        file,
        size,
        codec: codec.name,
        quality,
        bytes: bytes.length,
        cpuMs,
        score: score(original, decoded),
      })
    }
  }
  return points
}

/** The value at `target` on the line through the two points around it, by score. */
const at = (points: readonly Point[], target: number, pick: (point: Point) => number): number => {
  const sorted = points.toSorted((a, b) => a.score - b.score)
  const above = Math.min(
    sorted.length - 1,
    Math.max(
      1,
      sorted.findIndex((point) => point.score >= target),
    ),
  )
  const [low, high] = [sorted[above - 1], sorted[above]]
  if (!low || !high) return Number.NaN
  return pick(low) + ((pick(high) - pick(low)) * (target - low.score)) / (high.score - low.score)
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const summarise = (points: readonly Point[], size: number, codec: string) => {
  const perFile = FILES.map((file) => {
    const here = points.filter((point) => point.file === file && point.size === size)
    const reference = here.find((point) => point.codec === 'jpeg' && point.quality === REFERENCE_Q)
    const own = here.filter((point) => point.codec === codec)
    const target = reference?.score ?? Number.NaN
    const bytes = at(own, target, (point) => point.bytes)
    return {
      ratio: bytes / (reference?.bytes ?? Number.NaN),
      cpuMs: at(own, target, (point) => point.cpuMs),
      q: at(own, target, (point) => point.quality),
    }
  })
  return {
    size,
    codec,
    bytesOfJpeg: median(perFile.map(({ ratio }) => ratio)),
    cpuMs: median(perFile.map(({ cpuMs }) => cpuMs)),
    quality: median(perFile.map(({ q }) => q)),
  }
}

if (!existsSync(PHOTOS)) throw new Error(`the curve needs the photos in ${PHOTOS}`)
sharp.cache(false)
sharp.concurrency(1)
const points: Point[] = []
const folder = mkdtempSync(join(tmpdir(), 'oriel-curve-'))
try {
  for (const size of SIZES) for (const file of FILES) points.push(...(await measure(file, size, folder)))
} finally {
  rmSync(folder, { recursive: true })
}
const summary = SIZES.flatMap((size) => CODECS.map(({ name }) => summarise(points, size, name)))
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, sharp: sharp.versions }
const results = new URL('results/', import.meta.url)
mkdirSync(results, { recursive: true })
writeFileSync(new URL('curve.json', results), `${JSON.stringify({ machine, summary, points }, undefined, 1)}\n`)
console.log(
  `at the score of JPEG q ${REFERENCE_Q}, ${machine.cores} × ${machine.cpu}, medians of ${FILES.length} photos`,
)
for (const { size, codec, quality, bytesOfJpeg, cpuMs } of summary) {
  const bytes = `${(100 * bytesOfJpeg).toFixed(0)} %`.padStart(6)
  console.log(
    `${size} px  ${codec.padEnd(22)} q ${quality.toFixed(0).padStart(3)} ${bytes} of JPEG  ${cpuMs.toFixed(0).padStart(5)} ms`,
  )
}
