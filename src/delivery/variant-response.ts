/** The full way of a variant request: the use case, then headers and bytes, and the answer kept ready for the hot path. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DeliveryRecorder } from '../analytics/recorder-port.ts'
import type { VariantFacts } from '../core/variant.ts'
import { type Answer, headersAt } from './answer.ts'
import {
  BYPASS_CACHE_STATUS,
  cacheStatus,
  HOT_CACHE_STATUS,
  HOT_SERVER_TIMING,
  serverTiming,
  totalTiming,
} from './cache-status.ts'
import type { Decided, Delivery, HeaderReader, Tagged } from './deliver.ts'
import { cacheControl, type FlatHeaders, type Freshness, validatorHeaders, variantHeaders } from './headers.ts'
import { headerReader, type Occurrences } from './occurrence.ts'
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
    const { expiresAt } = route.grant

    if (delivery.kind === 'not-modified') {
      const shared = delivery.subject.access === 'public'
      const validators = sharedHeaders(route, delivery, { shared, expiresAt }, nowSeconds)
      response.writeHead(304, [
        ...validators,
        'Cache-Status',
        BYPASS_CACHE_STATUS,
        'Server-Timing',
        totalTiming(performance.now() - startedAt),
      ])
      response.end()
      const event = recorder.prepare(eventSubject(route, delivery, undefined))
      recorder.record(event, occurrences(request, 'none', 304, 0, startedAt))
      return
    }

    const { variant, tier, timing, kept, collapsed } = delivery
    const answer = prepareAnswer(
      route,
      delivery,
      variant.facts,
      variantHeaders(variant, route.acceptCh, route.digest, delivery.subject.access === 'public'),
      recorder,
      nowSeconds,
    )
    const held = tiers.hold(delivery.key)
    if (held) {
      route.known = delivery.known
      keepAnswer(route, delivery.klass.name, { ...answer, held })
    }
    const body = request.method === 'HEAD' ? undefined : variant.bytes
    // A hit's headers are ready; only what tells of tiers and times differs here.
    const headers = headersAt(answer.hitHeaders, answer, expiresAt, nowSeconds).slice(0, -TIER_HEADERS)
    response.writeHead(200, [
      ...headers,
      'Cache-Status',
      cacheStatus(tier, kept, collapsed),
      'Server-Timing',
      serverTiming(tier, timing, performance.now() - startedAt),
    ])
    response.end(body)
    recorder.record(answer.event, occurrences(request, tier, 200, body?.byteLength ?? 0, startedAt, timing))
  }

const sharedHeaders = (
  route: VariantRoute,
  { klass, etag }: Tagged,
  freshness: Freshness,
  nowSeconds: number,
): FlatHeaders =>
  validatorHeaders({
    cacheControl: cacheControl(freshness, nowSeconds),
    freshness,
    etag,
    vary: route.vary,
    className: klass.name,
  })

/** `Cache-Status` and `Server-Timing`, name and value each, at the end of the hit's headers. */
const TIER_HEADERS = 4

const prepareAnswer = (
  route: VariantRoute,
  decided: Tagged,
  facts: VariantFacts,
  representation: readonly string[],
  recorder: DeliveryRecorder,
  nowSeconds: number,
): Omit<Answer, 'held'> => {
  const { etag } = decided
  const shared = decided.subject.access === 'public'
  const validators = sharedHeaders(route, decided, { shared, expiresAt: route.grant.expiresAt }, nowSeconds)
  const hit = ['Cache-Status', HOT_CACHE_STATUS, 'Server-Timing', HOT_SERVER_TIMING]
  return {
    etag,
    known: decided.known,
    shared,
    hitHeaders: [...validators, ...representation, ...hit],
    notModifiedHeaders: [...validators, ...hit],
    event: recorder.prepare(eventSubject(route, decided, facts)),
  }
}

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
