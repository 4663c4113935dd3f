/** Ports of the pixel workers. Implemented by `pool.ts` over child processes; nothing else touches an untrusted picture. */
import type { FileEnds } from '../core/file-ends.ts'
import type { ImageFacts } from '../core/image.ts'
import type { RenderPlan } from '../core/render-plan.ts'
import type { RenderTiming, Variant } from '../core/variant.ts'

export interface Probed {
  readonly facts: ImageFacts
  /** When and where the picture was taken, as its EXIF says; for the owner's eyes only. */
  readonly takenAt: string | null
  readonly location: { readonly latitude: number; readonly longitude: number } | null
  readonly camera: string | null
}

export interface Prober {
  /**
   * Reads an untrusted file's header. `ends`: what of it is in memory anyway; `file` gives its path, asked for only where
   * a renderer has to open it.
   * @throws AppError `unsupported-type` (not an image, or one we cannot decode; the message names what it is),
   * `undecodable` (broken, or cut short), `too-large` (pixels or frames over the limit), `busy` (queue full).
   */
  probe(file: () => Promise<string>, signal: AbortSignal, ends?: FileEnds): Promise<Probed>
}

export interface RendererProber {
  /**
   * The same, always in a renderer process. `missing`: a part without which the file looks cut short, in words; the picture is
   * then decoded to tell, and `undecodable` names the part.
   */
  probe(path: string, signal: AbortSignal, missing?: string): Promise<Probed>
}

export interface Renderer {
  /**
   * Renders one variant of the file at `path`, whose facts were probed at upload.
   * Aborting `signal` takes a waiting job out of the queue; a running one is left to its deadline.
   * @throws AppError `undecodable` (the file, its cost or its crash: trying again gives the same), `busy` (queue full, with
   * `retryAfterSeconds`), `bad-request` (a crop or page outside the picture).
   */
  render(job: RenderJob, signal: AbortSignal): Promise<Variant & { readonly timing: RenderTiming }>
}

export interface RenderJob {
  readonly path: string
  /** Size of the original file in bytes. */
  readonly bytes: number
  readonly facts: ImageFacts
  readonly plan: RenderPlan
}
