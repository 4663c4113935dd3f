/** Reference of cold renders: nothing but sharp in a loop, one picture after another, with the settings of Oriel's encoder. */
import sharp from 'sharp'
import { encodeAs } from '../../src/imaging/encode.ts'

export interface LoopJob {
  readonly path: string
  readonly format: 'jpeg' | 'webp' | 'avif'
  readonly width: number
  readonly height: number
}

export interface LoopDone {
  readonly bytes: number
}

const render = async ({ path, format, width, height }: LoopJob): Promise<LoopDone> => {
  const output = { width, height }
  const resized = sharp(path).resize({ ...output, fit: 'fill' })
  const { length } = await encodeAs(resized, { format, quality: 'auto', original: 'jpeg', output }).toBuffer()
  return { bytes: length }
}

// As in a renderer: one job at a time and a process a core, so libvips' own threads would only get in each other's way.
sharp.concurrency(1)
let last: Promise<unknown> = Promise.resolve()
process.on('message', (job: LoopJob) => {
  last = last.then(async () => process.send?.(await render(job)))
})
