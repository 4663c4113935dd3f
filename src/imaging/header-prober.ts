/** The prober that uploads use: the header read here where that is sure to be right, a renderer process where it is not. */

import { AppError } from '../core/errors.ts'
import type { FileEnds } from '../core/file-ends.ts'
import { readHeader } from './header/header.ts'
import type { ImageLimits } from './limits.ts'
import type { Probed, Prober, RendererProber } from './renderer-port.ts'
import { refusal, SNIFF_BYTES, sniff } from './sniff.ts'

export interface HeaderProberStats {
  /** Since start: answered here; handed on; handed on to be decoded, since the file looked cut short. */
  sure: number
  unsure: number
  cutShort: number
}

/** @throws (when probing) what the renderers throw, and `unsupported-type` by the first bytes without asking them. */
export const createHeaderProber = (
  renderers: RendererProber,
  limits: ImageLimits,
): Prober & { readonly stats: Readonly<HeaderProberStats> } => {
  const stats: HeaderProberStats = { sure: 0, unsure: 0, cutShort: 0 }

  const probe = async (file: () => Promise<string>, signal: AbortSignal, ends?: FileEnds): Promise<Probed> => {
    if (!ends) return renderers.probe(await file(), signal)
    const sniffed = sniff(ends.head.subarray(0, SNIFF_BYTES))
    if (sniffed.kind === 'refused') throw new AppError('unsupported-type', refusal(sniffed.what))
    const reading = readHeader(sniffed.format, ends, limits)
    if (reading.kind === 'sure') {
      stats.sure += 1
      return reading.probed
    }
    stats.unsure += 1
    if (reading.missing !== undefined) stats.cutShort += 1
    return renderers.probe(await file(), signal, reading.missing)
  }
  return { probe, stats }
}
