/** The prober of uploads over real renderer processes: who answers, and what is said of a file that is cut short. */
import { readFileSync } from 'node:fs'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createHeaderProber } from '../../src/imaging/header-prober.ts'
import { DEFAULT_LIMITS } from '../../src/imaging/limits.ts'
import { createRendererPool, type RendererPool } from '../../src/imaging/pool.ts'
import { corners, scratchFolder } from './pictures.ts'

const patient = new AbortController().signal
let pool: RendererPool
beforeAll(async () => {
  pool = createRendererPool({ renderers: 1 })
  await pool.warm()
})
afterAll(() => pool.close())

const probeBytes = async (bytes: Buffer) => {
  await using scratch = await scratchFolder()
  const path = await scratch.write('upload', bytes)
  const prober = createHeaderProber(pool, DEFAULT_LIMITS)
  const before = pool.stats.probed
  const probed = await prober.probe(async () => path, patient, { head: bytes, tail: bytes, bytes: bytes.length })
  return { probed, stats: prober.stats, asked: pool.stats.probed - before }
}

const noisy = () =>
  sharp({
    create: {
      width: 90,
      height: 60,
      channels: 3,
      background: '#369',
      noise: { type: 'gaussian', mean: 128, sigma: 30 },
    },
  })

describe('the prober of uploads', () => {
  it('reads an ordinary photo without asking a renderer', async () => {
    const photo = readFileSync(new URL('../fixtures/photo.jpg', import.meta.url))
    const { probed, stats, asked } = await probeBytes(photo)
    expect(probed.facts).toMatchObject({ format: 'jpeg', width: 2400, height: 1350 })
    expect({ ...stats, asked }).toEqual({ sure: 1, unsure: 0, cutShort: 0, asked: 0 })
  })

  it('asks a renderer for a drawing, and for a file that it has not in memory', async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="7"/>')
    const { probed, stats, asked } = await probeBytes(svg)
    expect(probed.facts).toMatchObject({ format: 'svg', width: 9, height: 7 })
    expect({ ...stats, asked }).toEqual({ sure: 0, unsure: 1, cutShort: 0, asked: 1 })
    await using scratch = await scratchFolder()
    const path = await scratch.write('a.png', await corners(8, 6).png().toBuffer())
    expect((await createHeaderProber(pool, DEFAULT_LIMITS).probe(async () => path, patient)).facts.width).toBe(8)
  })

  it('refuses by its first bytes what is no picture, in the words of the renderers', async () => {
    await using scratch = await scratchFolder()
    const bytes = Buffer.from('%PDF-1.7\n')
    const path = await scratch.write('upload', bytes)
    const theirs = await pool.probe(path, patient).catch((error: unknown) => error)
    const ours = await probeBytes(bytes).catch((error: unknown) => error)
    expect(ours).toMatchObject({ kind: 'unsupported-type', message: (theirs as Error).message })
  })

  it.for([
    ['jpeg', /cut short: it lacks the end-of-image marker/],
    ['png', /cut short: it lacks the IEND chunk/],
    ['webp', /cut short: it lacks \d+ bytes that its RIFF header promises/],
    ['avif', /cut short: it lacks \d+ bytes that its boxes promise/],
  ] as const)('refuses a %s of which half is missing, and says so', async ([format, message]) => {
    const bytes = await noisy().toFormat(format).toBuffer()
    const refused = probeBytes(bytes.subarray(0, bytes.length / 2))
    await expect(refused).rejects.toMatchObject({ kind: 'undecodable', message: expect.stringMatching(message) })
  })

  it('takes a picture that lacks only its end mark, since every pixel is there', async () => {
    const bytes = await noisy().png().toBuffer()
    const { probed, stats } = await probeBytes(bytes.subarray(0, -12))
    expect(probed.facts).toMatchObject({ format: 'png', width: 90, height: 60 })
    expect(stats).toEqual({ sure: 0, unsure: 1, cutShort: 1 })
  })
})
