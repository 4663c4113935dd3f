/** Facts of an untrusted file from its header, or the reason why it is refused. Runs in a renderer process. */
import { open } from 'node:fs/promises'
import { AppError } from '../core/errors.ts'
import type { OriginalFormat } from '../core/image.ts'
import { readShotDetails } from './exif.ts'
import { enforceLimits, factsOf } from './facts.ts'
import type { ImageLimits } from './limits.ts'
import { openOriginal } from './open.ts'
import type { Probed } from './renderer-port.ts'
import { refusal, SNIFF_BYTES, sniff } from './sniff.ts'

const readHead = async (path: string): Promise<Buffer> => {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(SNIFF_BYTES), 0, SNIFF_BYTES, 0)
  return buffer.subarray(0, bytesRead)
}

/** @throws AppError `unsupported-type`. */
const identify = async (path: string): Promise<OriginalFormat> => {
  const sniffed = sniff(await readHead(path))
  if (sniffed.kind === 'refused') throw new AppError('unsupported-type', refusal(sniffed.what))
  return sniffed.format
}

/** libvips names the decoder; ours names the format. Two names for AVIF, one for all else. */
const DECODED_AS: Partial<Record<string, OriginalFormat>> = { heif: 'avif' }

/**
 * @throws AppError `unsupported-type` (says what the file is), `undecodable` (its header is broken), `too-large`.
 */
export const probe = async (path: string, limits: ImageLimits): Promise<Probed> => {
  const format = await identify(path)
  const source = await openOriginal({ path, facts: { format, hasProfile: true } })
  const metadata = await source.metadata().catch((cause: unknown) => {
    throw new AppError('undecodable', `the file starts like ${format}, but its header cannot be read`, { cause })
  })
  const decodedAs = DECODED_AS[metadata.format] ?? metadata.format
  if (decodedAs !== format) throw new AppError('undecodable', `the file starts like ${format}, but holds ${decodedAs}`)
  if (format === 'avif' && metadata.compression !== 'av1') {
    throw new AppError('unsupported-type', refusal(`HEIF coded as ${metadata.compression ?? 'something unknown'}`))
  }
  if (!(metadata.width > 0 && metadata.height > 0)) {
    throw new AppError('undecodable', `the ${format} picture has no pixels: ${metadata.width}×${metadata.height}`)
  }
  const facts = factsOf(format, metadata)
  enforceLimits(facts, limits)
  return { facts, ...readShotDetails(metadata.exif) }
}

/** Small enough for every decoder to skip what it can, and still read every coded byte. */
const GLANCE_PIXELS = 64

/**
 * `probe` of a file that seems to lack a part: browsers show some of those, so the picture is decoded to tell.
 * @throws AppError also `undecodable` naming `missing`.
 */
export const probeCutShort = async (path: string, limits: ImageLimits, missing: string): Promise<Probed> => {
  const cutShort = (cause: unknown): AppError =>
    new AppError('undecodable', `the file is cut short: it lacks ${missing}`, { cause })
  const probed = await probe(path, limits).catch((error: unknown) => {
    throw error instanceof AppError && error.kind === 'undecodable' ? cutShort(error) : error
  })
  const source = await openOriginal({ path, facts: probed.facts })
  await source
    .resize({ width: GLANCE_PIXELS })
    .raw()
    .toBuffer()
    .catch((cause: unknown) => {
      throw cutShort(cause)
    })
  return probed
}
