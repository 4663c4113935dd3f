/** A server as its users meet it, up for a while: V8 has compiled what a render takes, instead of doing so while it is measured. */
import { makeJpeg, numberedJpeg } from './jpegs.ts'
import { load, type startGenerator } from './load/generator.ts'
import { getRequest } from './load/job.ts'
import { type Origin, uploadAll } from './origin.ts'

/** 400 pictures in 5 sizes: 2,000 renders, 5 s. After 700 most of the server's code still ran unoptimised (perf). */
const PICTURES = 400
const WIDTHS = [32, 64, 96, 128, 160]
const SMALL = { width: 192, height: 128, bytes: 6_000 } as const

/** Renders small pictures, each in every width, in the format of `extension`. */
export const warmUp = async (
  origin: Origin,
  generator: ReturnType<typeof startGenerator>,
  extension: string,
): Promise<void> => {
  const jpeg = await makeJpeg(SMALL.width, SMALL.height, SMALL.bytes)
  const hashes = await uploadAll(
    origin,
    Array.from({ length: PICTURES }, (_, number) => numberedJpeg(jpeg, number)),
  )
  const requests = WIDTHS.flatMap((width) => hashes.map((hash) => getRequest(`/i/${hash}/${width}x.${extension}`)))
  await load(generator, { port: origin.port, connections: 4, source: { kind: 'list', requests }, seconds: 120 })
}
