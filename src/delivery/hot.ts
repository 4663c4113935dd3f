/**
 * The hot path: a variant that memory holds, for a URL that was answered before. Everything decided earlier is looked up,
 * nothing is decided again but the client's class; no promise, no copy of the bytes. Whatever is not plain goes the full way.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DeliveryRecorder } from '../analytics/recorder-port.ts'
import { headersAt, isCurrent } from './answer.ts'
import type { Classify } from './deliver.ts'
import { matchesEtag } from './headers.ts'
import { headerReader, type Occurrences } from './occurrence.ts'
import type { VariantRoute } from './route.ts'
import type { Subjects } from './subjects.ts'
import type { VariantTiers } from './tiers.ts'

export interface HotPorts {
  readonly subjects: Pick<Subjects, 'peek'>
  readonly tiers: Pick<VariantTiers, 'peek'>
  readonly classify: Classify
  readonly recorder: DeliveryRecorder
  readonly occurrences: Occurrences
}

/** @returns a function that answers and says true, or touches nothing and says false. */
export const createHotPath =
  ({ subjects, tiers, classify, recorder, occurrences }: HotPorts) =>
  (route: VariantRoute, request: IncomingMessage, response: ServerResponse, startedAt: number): boolean => {
    const known = subjects.peek(route.digest)
    if (!known?.subject) return false
    const nowSeconds = route.grant.expiresAt === Number.POSITIVE_INFINITY ? 0 : Date.now() / 1000
    if (nowSeconds > route.grant.expiresAt) return false
    const klass = classify(route, known.subject, headerReader(request))
    const answer = route.answers.get(klass.name)
    if (!answer) return false
    const variant = tiers.peek(answer.key, startedAt)
    if (!variant || !isCurrent(answer, known, variant.facts)) return false

    const ifNoneMatch = request.headers['if-none-match']
    if (ifNoneMatch !== undefined && matchesEtag(ifNoneMatch, answer.etag)) {
      response.writeHead(
        304,
        headersAt(answer.notModifiedHeaders, answer, route.grant.expiresAt, nowSeconds) as string[],
      )
      response.end()
      recorder.record(answer.event, occurrences(request, 'memory', 304, 0, startedAt))
      return true
    }
    response.writeHead(200, headersAt(answer.hitHeaders, answer, route.grant.expiresAt, nowSeconds) as string[])
    if (request.method === 'HEAD') response.end()
    else response.end(variant.bytes)
    const sent = request.method === 'HEAD' ? 0 : variant.bytes.byteLength
    recorder.record(answer.event, occurrences(request, 'memory', 200, sent, startedAt))
    return true
  }
