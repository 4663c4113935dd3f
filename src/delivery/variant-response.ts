/** The full way of a variant request: the use case, then headers and bytes, and the answer kept ready for the hot path. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DeliveryRecorder } from '../analytics/recorder-port.ts'
import type { VariantFacts } from '../core/variant.ts'
import { countedOnce } from './answer.ts'
import {
  BYPASS_CACHE_STATUS,
  cacheStatus,
  HOT_CACHE_STATUS,
  HOT_SERVER_TIMING,
  serverTiming,
  totalTiming,
} from './cache-status.ts'
import type { Decided, Delivery, HeaderReader } from './deliver.ts'
import { type FlatHeaders, lifetimeHeaders, validatorHeaders, variantHeaders } from './headers.ts'
import { headerReader, type Occurrences } from './occurrence.ts'
import { readyHead } from './ready-head.ts'
import { keepAnswer, type VariantRoute } from './route.ts'
import type { VariantTiers } from './tiers.ts'

export type SendVariant = (
  route: VariantRoute,
  request: IncomingMessage,
  response: ServerResponse,
  startedAt: number,
  signal: AbortSignal,
) => Promise<void>

export interface SendVariantPorts {
  readonly deliver: (route: VariantRoute, header: HeaderReader, signal: AbortSignal) => Promise<Delivery>
  readonly tiers: Pick<VariantTiers, 'hold'>
  readonly recorder: DeliveryRecorder
  readonly occurrences: Occurrences
}

export const createSendVariant =
  ({ deliver, tiers, recorder, occurrences }: SendVariantPorts): SendVariant =>
  async (route, request, response, startedAt, signal) => {
    const delivery = await deliver(route, headerReader(request), signal)
    const nowSeconds = Date.now() / 1000
    const shared = delivery.subject.access === 'public'
    const freshness = { shared, expiresAt: route.grant.expiresAt }
    const { etag, klass } = delivery
    const validators = validatorHeaders({ freshness, etag, vary: route.vary, className: klass.name })
    const common = [...lifetimeHeaders(freshness, nowSeconds), ...validators]

    if (delivery.kind === 'not-modified') {
      const timing = totalTiming(performance.now() - startedAt)
      response.writeHead(304, [...common, ...tierHeaders(BYPASS_CACHE_STATUS, timing)])
      response.end()
      const event = recorder.prepare(eventSubject(route, delivery, undefined))
      recorder.record(event, occurrences(request, 'none', 304, 0, startedAt))
      return
    }

    const { variant, tier, timing, kept, collapsed } = delivery
    const representation = variantHeaders(variant, route.acceptCh, route.digest, shared)
    const event = recorder.prepare(eventSubject(route, delivery, variant.facts))
    const body = request.method === 'HEAD' ? undefined : variant.bytes
    const told = tierHeaders(
      cacheStatus(tier, kept, collapsed),
      serverTiming(tier, timing, performance.now() - startedAt),
    )
    response.writeHead(200, [...common, ...representation, ...told])
    response.end(body)
    recorder.record(event, occurrences(request, tier, 200, body?.byteLength ?? 0, startedAt, timing))

    const held = tiers.hold(delivery.key)
    if (!held) return
    const { known } = delivery
    const always = [...countedOnce(freshness), ...validators]
    const again = tierHeaders(HOT_CACHE_STATUS, HOT_SERVER_TIMING)
    const hit = readyHead(200, [...always, ...representation, ...again])
    const notModified = readyHead(304, [...always, ...again])
    route.known = known
    keepAnswer(route, klass.name, { etag, known, held, freshness, hit, notModified, event })
  }

const tierHeaders = (status: string, timing: string): FlatHeaders => ['Cache-Status', status, 'Server-Timing', timing]

const eventSubject = (route: VariantRoute, { subject, klass, dpr }: Decided, facts: VariantFacts | undefined) => {
  const { size, formatAsked } = route.transform
  return {
    hash: subject.digest,
    owner: subject.ownerId,
    askedWidth: (size.kind === 'box' ? size.width : klass.width) ?? 0,
    askedHeight: size.height ?? 0,
    servedWidth: facts?.width ?? 0,
    servedHeight: facts?.height ?? 0,
    formatAsked,
    formatServed: facts?.format ?? '',
    variantClass: klass.name,
    dpr,
    slowNetwork: klass.slow,
    originalBytes: subject.bytes,
  }
}
