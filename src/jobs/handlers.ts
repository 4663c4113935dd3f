/** What each kind of job does. All of them are idempotent: a job may be done twice, and by two workers at once. */
import type { OriginalStore } from '../blobs/store.ts'
import type { ChangeNotices } from '../coordination/coordination.ts'
import type { JobRoutes } from '../core/asset-event.ts'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'
import { findCondition, setScan } from '../metadata/condition.ts'
import type { Metadata } from '../metadata/database.ts'
import type { Outbox } from '../metadata/outbox.ts'
import type { Scanner } from './clamd.ts'
import { notify } from './notify.ts'
import type { Handler, Handlers } from './relay.ts'
import type { Webhook } from './webhook.ts'

/** `after`: served until found infected. `hold`: served once found clean. */
export type ScanMode = 'off' | 'after' | 'hold'

export interface JobChoices {
  readonly edges: boolean
  readonly scan: ScanMode
  readonly prewarm: boolean
  /** Whether an application is to be told. */
  readonly notify: boolean
}

/**
 * Which events leave a job, by configuration alone: an upload of an origin that has neither scanner nor prewarming writes no row more than
 * before, and one of an origin that has writes one in the transaction that it shares anyway.
 */
export const jobRoutes = ({ edges, scan, prewarm, notify }: JobChoices): JobRoutes => {
  const told = notify ? (['notify'] as const) : []
  return {
    added: [
      ...(scan === 'off' ? [] : (['scan'] as const)),
      // What is held cannot be rendered yet: it is when the scan shows it.
      ...(prewarm && scan !== 'hold' ? (['prewarm'] as const) : []),
      ...told,
    ],
    updated: told,
    hidden: edges ? ['purge-edge', ...told] : told,
    shown: prewarm ? ['prewarm', ...told] : told,
    purged: told,
  }
}

export interface HandlerPorts {
  readonly metadata: Metadata
  readonly originals: Pick<OriginalStore, 'read'>
  readonly notices: ChangeNotices
  readonly outbox: Outbox
  /** Whether there are edges among those that notices go to. */
  readonly edges: boolean
  readonly scanner: Scanner | undefined
  readonly scan: ScanMode
  /** Ends of image URLs: `320x.webp`. */
  readonly prewarm: readonly string[]
  /** Renders what an image URL's path asks for, where it is not there yet. */
  readonly warm: (target: string, signal: AbortSignal) => Promise<void>
  /** Of the application that wants to be told. */
  readonly webhook: Webhook | undefined
}

export const createHandlers = (ports: HandlerPorts): Handlers => ({
  ...(ports.edges && { 'purge-edge': purgeEdge(ports) }),
  ...(ports.scanner && { scan: scanWith(ports, ports.scanner) }),
  ...(ports.prewarm.length > 0 && { prewarm: prewarm(ports) }),
  ...(ports.webhook && { notify: notify(ports, ports.webhook) }),
})

/**
 * The request that hid the picture has told the edges at once; this is for those that did not confirm, and for a process that died before it told.
 * With 300 s between the last attempts, some 24 hours of them: after a day an edge forgets by itself (`EDGE_FRESH_SECONDS`).
 */
const purgeEdge = ({ notices }: HandlerPorts): Handler => ({
  concurrency: 4,
  limitMs: 15_000,
  attempts: 300,
  run: async ({ digest }) => {
    // Tells what is so now: a picture that is shown again is not taken away.
    const { tiers } = await notices.publish(digest)
    const open = Object.entries(tiers).filter(([, outcome]) => outcome !== 'confirmed')
    if (open.length > 0) throw new Error(open.map(([edge, outcome]) => `${edge}: ${outcome}`).join('; '))
  },
})

/** A scan of the largest upload (100 MB by default) takes clamd some seconds; what was looked at already is not looked at again. */
const scanWith = ({ metadata, originals, notices, outbox, scan }: HandlerPorts, scanner: Scanner): Handler => ({
  concurrency: 4,
  limitMs: 5 * 60_000,
  attempts: 12,
  run: async ({ digest }, signal) => {
    const condition = await findCondition(metadata.read, digest)
    if (!condition) return
    if (condition.scan === 'none' || condition.scan === 'pending') {
      const verdict = await scanner.scan(await originals.read(digest, undefined, signal), signal)
      await metadata.transaction(async (transaction) => {
        if (!(await setScan(transaction, digest, verdict.kind))) return
        if (verdict.kind === 'infected') await outbox.append(transaction, [{ kind: 'hidden', digest }])
        else await outbox.append(transaction, [{ kind: scan === 'hold' ? 'shown' : 'updated', digest }])
      })
    }
    // Also when it was decided before: who decided may have died before it told.
    await notices.publish(digest)
  },
})

/** One at a time: renders of visitors come first. */
const prewarm = ({ prewarm: tails, warm }: HandlerPorts): Handler => ({
  concurrency: 1,
  limitMs: 2 * 60_000,
  attempts: 5,
  run: async ({ digest }, signal) => {
    for (const tail of tails) await warm(pathOf(digest, tail), signal).catch(passIfNone)
  },
})

const pathOf = (digest: Digest, tail: string): string => `/i/${digest}/${tail}`

/** Deleted meanwhile, or a picture that cannot be made: nothing that a second attempt would better. */
const passIfNone = (error: unknown): void => {
  if (error instanceof AppError && ['not-found', 'gone', 'undecodable', 'bad-request'].includes(error.kind)) return
  throw error
}
