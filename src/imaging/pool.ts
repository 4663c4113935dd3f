/** The pool of renderer processes: who may run when, and what a failure of theirs means. Implements `RendererProber` and `Renderer`. */
import { availableParallelism } from 'node:os'
import { AppError } from '../core/errors.ts'
import type { RenderTiming, Variant } from '../core/variant.ts'
import { Admission } from './admission.ts'
import { jobCost } from './cost.ts'
import { Fleet, type FleetCounters } from './fleet.ts'
import { DEFAULT_LIMITS, type ImageLimits } from './limits.ts'
import type { Probed, Renderer, RendererProber, RenderJob } from './renderer-port.ts'
import type { JobAnswer } from './renderer-process.ts'
import type { Request } from './wire.ts'

export interface RendererPoolOptions {
  /** Renders at once, each in its own process. Default: the cores. Probes may add one process more. */
  readonly renderers?: number
  /** Cost of the renders running at once, in megapixels of JPEG decoding (`cost.ts`). Default: 150 a renderer. */
  readonly maxRunningCost?: number
  /** Renders that may wait (default 64 a renderer), and what they may cost together (default 600 a renderer: ~5 s of work). */
  readonly maxWaiting?: number
  readonly maxWaitingCost?: number
  /** Probes that may wait. Default 256. */
  readonly maxWaitingProbes?: number
  /** A job running longer is killed and `undecodable`. Default 30,000 ms. */
  readonly deadlineMs?: number
  /** A renderer growing larger while it works is killed, and its job is `undecodable`. Default 1 GiB. */
  readonly memoryLimitBytes?: number
  /** A renderer is replaced after so many jobs (default 500), or when it ends a job larger than this (default 300 MB). */
  readonly recycleAfterJobs?: number
  readonly recycleAboveBytes?: number
  /** How long `close` lets running jobs go on. Default 10,000 ms. */
  readonly graceMs?: number
  readonly limits?: Partial<ImageLimits>
}

export interface RendererPoolStats extends Readonly<FleetCounters> {
  /** Now: renders running and waiting, their cost, probes running and waiting, processes, their resident memory. */
  readonly running: number
  readonly runningCost: number
  readonly waiting: number
  readonly waitingCost: number
  readonly probing: number
  readonly waitingProbes: number
  readonly processes: number
  readonly rssBytes: number
  /** Since start. `rejected`: answered `busy`; `failed`: any other error. */
  readonly rendered: number
  readonly probed: number
  readonly rejected: number
  readonly failed: number
}

export interface RendererPool extends RendererProber, Renderer, AsyncDisposable {
  readonly stats: RendererPoolStats
  readonly pids: readonly number[]
  /** Starts the renderers, so that the first request need not wait for them. @throws AppError `busy`. */
  warm(): Promise<void>
  /** Refuses new and waiting jobs, lets running ones end within the grace, then kills. */
  close(): Promise<void>
}

/** Measured: 7 ms for a megapixel of JPEG, on one core that others use too. */
const COST_PER_SECOND = 100
/** A header is read in some 2 ms; the cost of one probe, for the time to come back. */
const PROBE_COST = 0.2
const IDLE_MS = 10_000

const admissions = (options: RendererPoolOptions, renderers: number): Record<'renders' | 'probes', Admission> => ({
  renders: new Admission({
    places: renderers,
    runningCost: options.maxRunningCost ?? 150 * renderers,
    waiting: options.maxWaiting ?? 64 * renderers,
    waitingCost: options.maxWaitingCost ?? 600 * renderers,
    costPerSecond: COST_PER_SECOND,
  }),
  // A place of their own: an upload is not kept waiting by slow renders, nor renders by a flood of uploads.
  probes: new Admission({
    places: 1,
    runningCost: Number.POSITIVE_INFINITY,
    waiting: options.maxWaitingProbes ?? 256,
    waitingCost: Number.POSITIVE_INFINITY,
    costPerSecond: COST_PER_SECOND,
  }),
})

const fleetOf = (options: RendererPoolOptions, renderers: number): Fleet =>
  new Fleet({
    deadlineMs: options.deadlineMs ?? 30_000,
    memoryLimitBytes: options.memoryLimitBytes ?? 2 ** 30,
    recycleAfterJobs: options.recycleAfterJobs ?? 500,
    recycleAboveBytes: options.recycleAboveBytes ?? 300e6,
    idleMs: IDLE_MS,
    keep: renderers,
  })

/** Runs work within an admission, and remembers what is in flight and how it ended. */
const createLedger = () => {
  const counts = { rendered: 0, probed: 0, rejected: 0, failed: 0 }
  const inFlight = new Set<Promise<unknown>>()
  return {
    counts,
    idle: () => Promise.allSettled(inFlight),
    async run<T>(
      counter: 'rendered' | 'probed',
      admission: Admission,
      cost: number,
      signal: AbortSignal,
      work: () => Promise<T>,
    ): Promise<T> {
      try {
        const leave = await admission.enter(cost, signal)
        const working = work().finally(leave)
        inFlight.add(working)
        const result = await working.finally(() => inFlight.delete(working))
        counts[counter] += 1
        return result
      } catch (error) {
        counts[error instanceof AppError && error.kind === 'busy' ? 'rejected' : 'failed'] += 1
        throw error
      }
    },
  }
}

/** A view of a read buffer may hold so much more than its own bytes: a message of 41 KB has 0.4 KB beside the picture. */
const MAX_SLACK = 1 / 8

/**
 * What came over the channel is a view of a read buffer, of up to 64 KiB, which a cache would keep alive. Copied only where
 * that matters: memory outside the heap is what makes V8 collect all of it (every 120 renders with a copy each, measured).
 */
const compact = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => {
  const { buffer, byteOffset, byteLength } = bytes
  const tight = buffer instanceof ArrayBuffer && buffer.byteLength <= byteLength * (1 + MAX_SLACK)
  return tight ? new Uint8Array(buffer, byteOffset, byteLength) : new Uint8Array(bytes)
}

const unexpected = (request: Request, answer: JobAnswer): AppError =>
  new AppError('internal', `a renderer answered ${answer.kind} to ${request.kind}`)

/** Pixel workers for one server process. Starts nothing until `warm` or the first job. */
export const createRendererPool = (options: RendererPoolOptions = {}): RendererPool => {
  const renderers = options.renderers ?? availableParallelism()
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const { renders, probes } = admissions(options, renderers)
  const fleet = fleetOf(options, renderers)
  const ledger = createLedger()

  const probe = async (path: string, missing: string | undefined): Promise<Probed> => {
    const request: Request = { kind: 'probe', path, limits, missing }
    const answer = await fleet.run(request)
    if (answer.kind !== 'probed') throw unexpected(request, answer)
    return answer.probed
  }

  const render = async (job: RenderJob, asked: number): Promise<Variant & { readonly timing: RenderTiming }> => {
    const started = performance.now()
    const request: Request = { kind: 'render', job, limits }
    const answer = await fleet.run(request)
    if (answer.kind !== 'rendered') throw unexpected(request, answer)
    const timing = { queueMs: started - asked, renderMs: performance.now() - started }
    return { bytes: compact(answer.rendered.bytes), facts: answer.rendered.facts, timing }
  }

  const close = async (): Promise<void> => {
    renders.close()
    probes.close()
    const { promise: graceOver, resolve: endGrace } = Promise.withResolvers<void>()
    const grace = setTimeout(endGrace, options.graceMs ?? 10_000)
    await Promise.race([ledger.idle(), graceOver])
    clearTimeout(grace)
    await fleet.close()
  }

  return {
    probe: (path, signal, missing) => ledger.run('probed', probes, PROBE_COST, signal, () => probe(path, missing)),
    render: (job, signal) => {
      const asked = performance.now()
      return ledger.run('rendered', renders, jobCost(job, limits), signal, () => render(job, asked))
    },
    get stats() {
      return { ...ledger.counts, ...fleet.counters, ...present(renders, probes, fleet) }
    },
    get pids() {
      return fleet.pids
    },
    warm: () => fleet.warm(renderers),
    close,
    [Symbol.asyncDispose]: close,
  }
}

const present = (renders: Admission, probes: Admission, fleet: Fleet) => ({
  running: renders.running,
  runningCost: renders.runningCost,
  waiting: renders.waiting,
  waitingCost: renders.waitingCost,
  probing: probes.running,
  waitingProbes: probes.waiting,
  processes: fleet.pids.length,
  rssBytes: fleet.rssBytes,
})
