/** Pictures for the tests of imaging: the shared corpus where it is there, small ones made by sharp where it is not. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp, { type Sharp } from 'sharp'
import type { RenderPlan } from '../../src/core/render-plan.ts'
import { DEFAULT_LIMITS, type ImageLimits } from '../../src/imaging/limits.ts'
import { probe } from '../../src/imaging/probe.ts'
import { type Rendered, render } from '../../src/imaging/render.ts'

const CORPUS = fileURLToPath(new URL('../../../shared/corpus/', import.meta.url))
export const hasCorpus = existsSync(CORPUS)
if (!hasCorpus) console.log(`left out: tests on real pictures, as ${CORPUS} is not there`)

/** Paths of the corpus' files under `folder` whose name matches; none where there is no corpus. */
export const corpus = (folder: string, name = /./): string[] =>
  hasCorpus
    ? readdirSync(join(CORPUS, folder))
        .filter((file) => name.test(file))
        .map((file) => join(CORPUS, folder, file))
    : []

export const PLAN: RenderPlan = {
  format: 'png',
  fit: 'inside',
  gravity: 'center',
  enlarge: false,
  rotate: 0,
  flip: false,
  flop: false,
  quality: 'auto',
  alternatives: [],
}

export interface Scratch extends AsyncDisposable {
  write(name: string, bytes: Uint8Array): Promise<string>
}

export const scratchFolder = async (): Promise<Scratch> => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-imaging-'))
  return {
    async write(name, bytes) {
      const path = join(folder, name)
      await writeFile(path, bytes)
      return path
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Probes and renders in this process: for pictures that can be trusted. */
export const renderFile = async (
  path: string,
  plan: Partial<RenderPlan>,
  limits: Partial<ImageLimits> = {},
): Promise<Rendered> => {
  const bounds = { ...DEFAULT_LIMITS, ...limits }
  const { facts } = await probe(path, bounds)
  return render({ path, bytes: statSync(path).size, facts, plan: { ...PLAN, ...plan } }, bounds)
}

/** A picture whose four corners differ, so that no turn or mirror goes unseen: red, green / blue, white. */
export const corners = (width: number, height: number): Sharp => {
  const pixels = Buffer.alloc(width * height * 3)
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [left, upper] = [x < width / 2, y < height / 2]
      pixels.set(upper ? (left ? [255, 0, 0] : [0, 255, 0]) : left ? [0, 0, 255] : [255, 255, 255], (y * width + x) * 3)
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
}

export interface Pixels {
  readonly data: Buffer
  readonly width: number
  readonly height: number
}

/** The first frame, on white, in 8-bit sRGB. */
export const pixelsOf = async (bytes: Uint8Array | string): Promise<Pixels> => {
  const flat = sharp(bytes).flatten({ background: 'white' }).toColourspace('srgb').raw()
  const { data, info } = await flat.toBuffer({ resolveWithObject: true })
  return { data, width: info.width, height: info.height }
}

/** Red, green and blue at a point in fractions of the picture. */
export const colourAt = ({ data, width, height }: Pixels, x: number, y: number): number[] => {
  const at = (Math.floor(y * height) * width + Math.floor(x * width)) * 3
  return [...data.subarray(at, at + 3)]
}

/** Mean absolute difference of channel values, 0…255. */
export const distance = (a: Pixels, b: Pixels): number => {
  if (a.width !== b.width || a.height !== b.height) return Number.POSITIVE_INFINITY
  return a.data.reduce((sum, value, i) => sum + Math.abs(value - (b.data[i] ?? 0)), 0) / a.data.length
}
