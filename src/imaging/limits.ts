/** What a picture may cost: the bounds that the probe refuses beyond and the renderer keeps to. */
export interface ImageLimits {
  /** Pixels of one page, from the header. */
  readonly maxPixels: number
  /** Pixels of one side of one page. */
  readonly maxSide: number
  /** Frames or pages. */
  readonly maxFrames: number
  /** Pixels of all frames of an animation together, to be accepted at all. */
  readonly maxAnimationPixels: number
  /** Pixels of all frames together that one render may decode; over it, only the first frame is rendered. */
  readonly frameBudgetPixels: number
  /** Pixels of one page of a variant; a larger plan is scaled down to it, keeping its aspect. */
  readonly maxOutputPixels: number
}

/**
 * - 100 MP: above every phone and most cameras; the worst decoders keep the whole picture, 100 MP × 6 B (progressive JPEG,
 *   4:4:4) = 600 MB, which stays under the pool's memory limit for one renderer (1 GiB).
 * - 65,535: JPEG, GIF and our other large formats store a side in 16 bits; PNG and TIFF bombs do not stop there.
 * - 50 MP a render of an animation: 800×600 × 100 frames = 48 MP, the large end of GIFs on the web; × 4 B = 200 MB when
 *   every frame is held at once.
 * - 8192 × 8192 = 67 MP: the largest box that a URL can ask for.
 */
export const DEFAULT_LIMITS: ImageLimits = {
  maxPixels: 100e6,
  maxSide: 65_535,
  maxFrames: 5_000,
  maxAnimationPixels: 1e9,
  frameBudgetPixels: 50e6,
  maxOutputPixels: 8192 * 8192,
}
