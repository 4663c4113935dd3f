/** What crosses between the pool and a renderer process: one request, one answer. */
import type { ErrorKind } from '../core/errors.ts'
import type { ImageLimits } from './limits.ts'
import type { Rendered } from './render.ts'
import type { Probed, RenderJob } from './renderer-port.ts'

export type Request =
  | {
      readonly kind: 'probe'
      readonly path: string
      readonly limits: ImageLimits
      /** What the file seems to lack: the picture is decoded to see. */
      readonly missing: string | undefined
    }
  | { readonly kind: 'render'; readonly job: RenderJob; readonly limits: ImageLimits }

/** Why a job failed. `detail` is the decoder's own text: for the log, as it may quote the file. */
export interface Failure {
  readonly kind: ErrorKind
  readonly message: string
  readonly detail: string
}

/** What came of a request; or, once, that the renderer is up. */
export type Outcome =
  | { readonly kind: 'ready' }
  | { readonly kind: 'probed'; readonly probed: Probed }
  | { readonly kind: 'rendered'; readonly rendered: Rendered }
  | { readonly kind: 'failed'; readonly failure: Failure }

/** What a renderer has taken of the machine. */
export interface Taken {
  /** Resident memory. */
  readonly rssBytes: number
  /** Processor time of all its threads since it began, in ms. */
  readonly processorMs: number
}

export type Answer = Outcome & Taken
