/**
 * Encoder settings of the first encode, made while a client waits. `bench/curve.ts` measures the whole curve; these figures
 * were chosen by SSIMULACRA2 of the decoded variant against the resized pixels: 8 photos (1600 px: the 4 most demanding ones),
 * encode CPU medians on one EPYC core of the 2-core build machine (Debian 12, sharp 0.35.5, libvips 8.18.7).
 *
 * | to reach score 75 | 400 px           | 800 px           | 1600 px           |
 * | ----------------- | ---------------- | ---------------- | ----------------- |
 * | JPEG              | q68 15.7 kB 3 ms | q69 49 kB 6 ms   | q74 198 kB 21 ms  |
 * | WebP effort 2     | q75 14.5 kB 9 ms | q80 44 kB 35 ms  |                   |
 * | WebP effort 4     | q76 13.6 kB 18 ms| q79 42 kB 62 ms  | q82 180 kB 216 ms |
 * | AVIF effort 0     | q58 11.1 kB 14 ms| q57 32 kB 48 ms  | q62 144 kB 172 ms |
 */
import type { Sharp } from 'sharp'
import type { OriginalFormat, OutputFormat } from '../core/image.ts'
import type { RenderPlan } from '../core/render-plan.ts'
import type { Size } from './turn.ts'

type Level = 'auto' | 'low' | 'high'
type LossyFormat = 'jpeg' | 'webp' | 'avif'

/** At small sizes a q scores higher than at large ones. Bounds: the geometric means between 400, 800 and 1600 px at 4:3. */
const SMALL_PIXELS = 240e3
const MEDIUM_PIXELS = 960e3

/** q for small, medium and large pictures. Scores: low 62, auto 75, high 85 (62: visible if compared; 85: hardly told apart). */
const LEVEL_Q: Record<LossyFormat, Record<Level, readonly [small: number, medium: number, large: number]>> = {
  jpeg: { low: [39, 43, 47], auto: [68, 69, 70], high: [88, 88, 88] },
  webp: { low: [45, 49, 50], auto: [76, 79, 80], high: [90, 91, 92] },
  avif: { low: [43, 43, 43], auto: [58, 58, 58], high: [77, 78, 79] },
}

/**
 * A number means what it means in JPEG and WebP, where 80 is everyone's 80. AVIF's own scale runs lower: literal, q 80 would
 * be 65 kB where WebP's is 43 kB (800 px). Pairs that score alike at 800 px, interpolated.
 */
const AVIF_Q: readonly (readonly [asked: number, avif: number])[] = [
  [1, 1],
  [35, 37],
  [45, 43],
  [55, 47],
  [65, 52],
  [75, 59],
  [80, 63],
  [88, 73],
  [92, 80],
  [100, 100],
]

const avifQ = (asked: number): number => {
  const above = AVIF_Q.findIndex(([q]) => q >= asked)
  const [q1, a1] = AVIF_Q[above] ?? [100, 100]
  const [q0, a0] = AVIF_Q[above - 1] ?? [q1 - 1, a1]
  return Math.round(a0 + ((a1 - a0) * (asked - q0)) / (q1 - q0))
}

const quality = (format: LossyFormat, asked: Level | number, size: Size): number => {
  if (typeof asked === 'number') return format === 'avif' ? avifQ(asked) : asked
  const pixels = size.width * size.height
  const [small, medium, large] = LEVEL_Q[format][asked]
  return pixels <= SMALL_PIXELS ? small : pixels <= MEDIUM_PIXELS ? medium : large
}

/**
 * Originals that may be drawings or screenshots: coloured text must not smear, so full chroma. Photographs keep 4:2:0: at
 * equal score full chroma changes AVIF's bytes by less than 3 % and costs 10–20 % more time.
 */
const isGraphic = (original: OriginalFormat): boolean => original === 'png' || original === 'gif' || original === 'svg'

export interface Encoding {
  readonly format: OutputFormat
  readonly quality: RenderPlan['quality']
  readonly original: OriginalFormat
  readonly output: Size
}

/**
 * Sets the encoder on `image`. Equal arguments give equal bytes: nothing depends on load or time.
 * - AVIF effort 0: faster than WebP and 18–24 % smaller at equal score; effort 3, six times as dear, is for a later generation.
 * - WebP effort 4: 5 % fewer bytes than effort 2 at the same score; 3 costs what 4 does. Effort 2 would also make AVIF the slower of the two.
 * - JPEG sequential: progressive saved 0–1 % here and costs 2–20 ms more.
 */
export const encodeAs = (image: Sharp, encoding: Encoding): Sharp => {
  const { format, output, original } = encoding
  const lossless = encoding.quality === 'lossless'
  const asked = encoding.quality === 'lossless' ? 'high' : encoding.quality
  const fullChroma = lossless || asked === 'high' || isGraphic(original)
  const chromaSubsampling = fullChroma ? '4:4:4' : '4:2:0'
  switch (format) {
    case 'jpeg':
      return image.jpeg({ quality: lossless ? 100 : quality('jpeg', asked, output), chromaSubsampling })
    case 'webp':
      return lossless
        ? image.webp({ lossless: true, effort: 2 })
        : image.webp({ quality: quality('webp', asked, output), effort: 4 })
    case 'avif':
      return lossless
        ? image.avif({ lossless: true, effort: 0 })
        : image.avif({ quality: quality('avif', asked, output), effort: 0, chromaSubsampling })
    case 'png':
      // The quick way; `png.ts` tries others.
      return image.png({ compressionLevel: 6 })
    case 'gif':
      return image.gif({ effort: 4 })
    default:
      return format satisfies never
  }
}
