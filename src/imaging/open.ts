/** Opens an untrusted original with libvips, under the policy that holds for every decode. */
import { readFile } from 'node:fs/promises'
import sharp, { type Sharp, type SharpOptions } from 'sharp'
import type { ImageFacts } from '../core/image.ts'
import type { RenderJob } from './renderer-port.ts'

/**
 * Only the loaders of the seven accepted formats stay. Blocked with the rest: `uhdrload` (Ultra HDR is then plain JPEG, with
 * shrink-on-load and without its gain map) and `svgload` from a file, whose base URL would let a drawing include its
 * neighbours in the store; SVG is read from memory, where it can load nothing.
 */
export const blockLoaders = (): void => {
  sharp.block({ operation: ['VipsForeignLoad'] })
  sharp.unblock({
    operation: [
      'VipsForeignLoadJpeg',
      'VipsForeignLoadPng',
      'VipsForeignLoadWebp',
      'VipsForeignLoadNsgif',
      'VipsForeignLoadHeif',
      'VipsForeignLoadTiff',
      'VipsForeignLoadSvgBuffer',
    ],
  })
}

/** What of the file to decode: one page, or every frame. Neither: the page that the format calls its first. */
export interface Pages {
  readonly page?: number
  readonly animated?: boolean
}

/**
 * @param facts as probed; the limits were enforced then, so libvips' own pixel limit is off. A file that changed since has
 * at most the pool's deadline and memory limit to spend.
 */
export const openOriginal = async (
  job: Pick<RenderJob, 'path'> & { readonly facts: Pick<ImageFacts, 'format' | 'hasProfile'> },
  pages: Pages = {},
): Promise<Sharp> => {
  const options: SharpOptions = {
    // Truncated or corrupt pixels are an error, not a half-grey picture; a decoder's mere warnings are not.
    failOn: 'error',
    limitInputPixels: false,
    // An sRGB profile needs no conversion; skipping it saves a pass of lcms over every pixel.
    ignoreIcc: !job.facts.hasProfile,
    ...pages,
  }
  return sharp(job.facts.format === 'svg' ? await readFile(job.path) : job.path, options)
}
