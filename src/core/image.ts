/** Words for pictures: the formats we read and write, and the facts about an original that planning needs. */

/** What a variant can be encoded as. Order is the server's preference when a client likes several equally. */
export const OUTPUT_FORMATS = ['avif', 'webp', 'jpeg', 'png', 'gif'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

/** What an original may be. Everything else is refused at upload with 415. */
export const ORIGINAL_FORMATS = ['jpeg', 'png', 'webp', 'gif', 'avif', 'tiff', 'svg'] as const
export type OriginalFormat = (typeof ORIGINAL_FORMATS)[number]

export const MEDIA_TYPE = {
  avif: 'image/avif',
  webp: 'image/webp',
  jpeg: 'image/jpeg',
  png: 'image/png',
  gif: 'image/gif',
  tiff: 'image/tiff',
  svg: 'image/svg+xml',
} as const satisfies Record<OutputFormat | OriginalFormat, string>

/** Formats that can hold an alpha channel, and formats that can hold an animation as our encoder writes them. */
export const HAS_ALPHA = { avif: true, webp: true, jpeg: false, png: true, gif: true } as const satisfies Record<
  OutputFormat,
  boolean
>
export const CAN_ANIMATE = { avif: false, webp: true, jpeg: false, png: false, gif: true } as const satisfies Record<
  OutputFormat,
  boolean
>

/** Facts read from an original's header at upload, stored with it, never changed. */
export interface ImageFacts {
  readonly format: OriginalFormat
  /** Width and height in pixels of one page, upright: after the EXIF orientation has been applied. */
  readonly width: number
  readonly height: number
  /** EXIF orientation as stored, 1…8; 1 where none was. */
  readonly orientation: number
  /** Pages or frames; 1 for a still picture. */
  readonly pages: number
  /** More than one frame meant to be played (GIF, WebP), as opposed to the pages of a TIFF. */
  readonly animated: boolean
  readonly hasAlpha: boolean
  /** libvips' interpretation: `srgb`, `b-w`, `cmyk`, `rgb16`, `grey16`… */
  readonly colourSpace: string
  /** An embedded ICC profile has to be converted from. */
  readonly hasProfile: boolean
}
