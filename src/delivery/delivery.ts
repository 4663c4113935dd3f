/** Delivery put together over its ports: the read path as one thing with a life. */
import type { DeliveryRecorder } from '../analytics/recorder-port.ts'
import type { OriginalStore, VariantStore } from '../blobs/store.ts'
import type { ChangeNotices, RenderLeases } from '../coordination/coordination.ts'
import type { DeliverySubject } from '../core/asset.ts'
import type { Digest, VariantKey } from '../core/ids.ts'
import type { Renderer } from '../imaging/renderer-port.ts'
import { createClassify } from './classify.ts'
import { createDeliver } from './deliver.ts'
import { createDeliveryHandler, type DeliveryHandler } from './handler.ts'
import { createHotPath } from './hot.ts'
import type { NegotiatedClass, NegotiationTables } from './negotiate.ts'
import { createObtain } from './obtain.ts'
import { createOccurrences } from './occurrence.ts'
import { planVariant } from './plan.ts'
import { assertWidthGranted } from './policy.ts'
import { createSendReady } from './ready-head.ts'
import { createRenderOnce } from './render-once.ts'
import { createParseRoute, type RouteTables, type VariantRoute } from './route.ts'
import { createStrangerBudget } from './stranger-budget.ts'
import { createSubjects } from './subjects.ts'
import { createTiers } from './tiers.ts'
import { createSendVariant } from './variant-response.ts'

export interface DeliveryPorts {
  readonly findSubject: (digest: Digest) => Promise<DeliverySubject | undefined>
  readonly notices: ChangeNotices
  readonly originals: Pick<OriginalStore, 'open' | 'read'>
  readonly variants: VariantStore
  readonly leases: RenderLeases
  /** Resolves when other instances can find what is being put under the key; at once where there are none. */
  readonly reachable: (key: VariantKey) => Promise<void>
  readonly renderer: Renderer
  readonly recorder: DeliveryRecorder
  readonly onError: (error: unknown, requestId: string, url: string) => void
  readonly onFault: (error: unknown, doing: string) => void
}

export interface DeliveryOptions extends RouteTables {
  readonly negotiation: NegotiationTables
  /** Sizes that an unsigned URL may have, ascending, in pixels. */
  readonly ladder: readonly number[]
  readonly memoryBytes: number
  /** A renderer's deadline: so long another instance's render is waited for. */
  readonly renderDeadlineMs: number
  readonly trustProxy: boolean
}

export interface Delivery extends AsyncDisposable {
  readonly handle: DeliveryHandler
  /** Renders what the path of an image URL asks for, as for a signed request without headers, where it is not there yet. @throws as delivery does. */
  readonly warm: (target: string, signal: AbortSignal) => Promise<void>
  readonly stats: () => Readonly<Record<string, number>>
}

export const createDelivery = (ports: DeliveryPorts, options: DeliveryOptions): Delivery => {
  const { originals, recorder } = ports
  const subjects = createSubjects(ports.findSubject, ports.notices)
  const tiers = createTiers(ports.variants, { memoryBytes: options.memoryBytes, onFault: ports.onFault })
  const classify = createClassify(options.negotiation)
  const occurrences = createOccurrences(options.trustProxy)
  const { leases, reachable, renderer } = ports
  const once = createRenderOnce({ leases, reachable, maxWaitMs: options.renderDeadlineMs })
  const obtain = createObtain({ tiers, originals, renderer, once })
  const plan = planWith(options.ladder)
  const deliver = createDeliver({ subjects, classify, plan, obtain, strangers: createStrangerBudget() })
  const parseRoute = createParseRoute(options)
  const { handle, stats } = createDeliveryHandler({
    parseRoute,
    hotPath: createHotPath({ tiers, classify, recorder, occurrences, sendReady: createSendReady() }),
    sendVariant: createSendVariant({ deliver, tiers, recorder, occurrences }),
    subjects,
    originals,
    recorder,
    occurrences,
    onError: ports.onError,
  })
  return {
    handle,
    warm: async (target, signal) => {
      const route = parseRoute(target, Date.now() / 1000)
      const grant = { trusted: true, expiresAt: Number.POSITIVE_INFINITY }
      if (route.kind === 'variant') await deliver({ ...route, grant }, () => undefined, signal)
    },
    stats: () => ({ ...stats, ...tiers.stats, subjects: subjects.size }),
    async [Symbol.asyncDispose]() {
      subjects[Symbol.dispose]()
      await tiers.settled()
    },
  }
}

const planWith =
  (ladder: readonly number[]) => (route: VariantRoute, klass: NegotiatedClass, subject: DeliverySubject) => {
    const { transform, grant } = route
    const planned = planVariant(transform, klass, subject.facts, grant.trusted ? 'signed' : 'unsigned', ladder)
    if (grant.policy) assertWidthGranted(grant.policy, planned.effectiveWidth)
    return planned
  }
