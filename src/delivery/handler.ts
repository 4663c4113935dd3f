/**
 * `/i/…` on node:http, in front of Hono: Hono's own cost per request is what a hot hit costs in all (peers-baseline: 24 µs
 * of 36), so it answers only what is not an image. One request, top to bottom: route, hot path, else the full way.
 */

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DeliveryRecorder } from '../analytics/recorder-port.ts'
import type { OriginalStore } from '../blobs/store.ts'
import type { DeliverySubject } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import type { EventSubject } from '../core/event.ts'
import { toProblem } from '../http/problem.ts'
import { admit } from './admission.ts'
import { createGenerations } from './generations.ts'
import { openHeaders } from './headers.ts'
import type { createHotPath } from './hot.ts'
import { headerReader, type Occurrences } from './occurrence.ts'
import { type Exchange, type Sent, sendInfo, sendOriginal } from './original-response.ts'
import type { OriginalRoute, Route } from './route.ts'
import type { Subjects } from './subjects.ts'
import type { SendVariant } from './variant-response.ts'

export interface HandlerPorts {
  /** @throws AppError for a URL that is not one of ours, or whose signature is wrong. */
  readonly parseRoute: (url: string, nowSeconds: number) => Route
  readonly hotPath: ReturnType<typeof createHotPath>
  readonly sendVariant: SendVariant
  readonly subjects: Pick<Subjects, 'find'>
  readonly originals: Pick<OriginalStore, 'read'>
  readonly recorder: DeliveryRecorder
  readonly occurrences: Occurrences
  readonly onError: (error: unknown, requestId: string, url: string) => void
}

/** Parsed URLs remembered, each with its ready answers: about 3 KB, so 15 MB at the most. */
const MAX_ROUTES = 5_000

export type DeliveryHandler = (request: IncomingMessage, response: ServerResponse) => void

export interface Delivery {
  readonly handle: DeliveryHandler
  readonly stats: Readonly<Record<'hot' | 'full' | 'refused' | 'failed', number>>
}

export const createDeliveryHandler = (ports: HandlerPorts): Delivery => {
  const routes = createGenerations<string, Route>(MAX_ROUTES)
  const stats = { hot: 0, full: 0, refused: 0, failed: 0 }

  const fullWay = async (request: IncomingMessage, response: ServerResponse, startedAt: number): Promise<void> => {
    const left = new AbortController()
    response.once('close', () => {
      if (!response.writableFinished) left.abort()
    })
    const url = request.url ?? ''
    try {
      const nowSeconds = Date.now() / 1000
      if (request.method === 'OPTIONS') {
        preflight(response)
        return
      }
      if (request.method !== 'GET' && request.method !== 'HEAD')
        throw new AppError('method-not-allowed', `${request.method} is not for images`, { headers: { Allow: ALLOWED } })
      const route = routes.get(url) ?? ports.parseRoute(url, nowSeconds)
      if (nowSeconds > route.grant.expiresAt) throw new AppError('forbidden', 'the signature of this URL has expired')
      routes.set(url, route)
      if (route.kind === 'variant') await ports.sendVariant(route, request, response, startedAt, left.signal)
      else await sendWhole(ports, route, { request, response, startedAt, nowSeconds, signal: left.signal })
      stats.full += 1
    } catch (error) {
      refuse(error, request, response, startedAt)
    }
  }

  const refuse = (error: unknown, request: IncomingMessage, response: ServerResponse, startedAt: number): void => {
    if (response.headersSent || response.destroyed) {
      // The client left, or the store broke in mid-body: only cutting the connection tells the truth now.
      response.destroy()
      return
    }
    const requestId = randomUUID()
    const problem = toProblem(error, requestId)
    stats[problem.status >= 500 ? 'failed' : 'refused'] += 1
    // A client's fault is the client's to read, and a full queue is counted: neither may flood the log.
    if (problem.status === 500) ports.onError(error, requestId, request.url ?? '')
    const body = Buffer.from(problem.body)
    const headers = Object.entries({ ...problem.headers, ...OPEN_TO_ALL, 'Content-Length': body.byteLength })
    response.writeHead(problem.status, headers.flat().map(String))
    response.end(request.method === 'HEAD' ? undefined : body)
    const event = ports.recorder.prepare(refusedEvent(request.url ?? ''))
    ports.recorder.record(event, ports.occurrences(request, 'none', problem.status, body.byteLength, startedAt))
  }

  return {
    handle(request, response) {
      const startedAt = performance.now()
      const route = routes.get(request.url ?? '')
      const plain = request.method === 'GET' || request.method === 'HEAD'
      if (plain && route?.kind === 'variant' && ports.hotPath(route, request, response, startedAt)) stats.hot += 1
      else void fullWay(request, response, startedAt)
    },
    stats,
  }
}

/** A page may read why an image was refused. */
const OPEN_TO_ALL = { 'Cross-Origin-Resource-Policy': 'cross-origin', 'Access-Control-Allow-Origin': '*' }

const ALLOWED = 'GET, HEAD, OPTIONS'

/** Fetch §4.8: what a page of another origin may do; a plain GET does not even ask. */
const preflight = (response: ServerResponse): void => {
  response.writeHead(204, [...openHeaders(), 'Allow', ALLOWED, 'Access-Control-Allow-Methods', ALLOWED])
  response.end()
}

interface WholeExchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly startedAt: number
  readonly nowSeconds: number
  readonly signal: AbortSignal
}

const sendWhole = async (ports: HandlerPorts, route: OriginalRoute, whole: WholeExchange): Promise<void> => {
  const { request, response, startedAt, nowSeconds, signal } = whole
  const known = await ports.subjects.find(route.digest)
  const subject = admit(known.subject, route.digest, route.grant.trusted)
  // On 'close' and not after the body: a pipeline also waits for its file to be closed, and a client may be gone before that.
  const sending = (sent: Sent) =>
    response.once('close', () => {
      const whole = response.writableFinished
      const occurrence = ports.occurrences(
        request,
        sent.status === 304 ? 'none' : 'original',
        whole ? sent.status : CLIENT_LEFT,
        whole ? sent.bytes : 0,
        startedAt,
      )
      ports.recorder.record(ports.recorder.prepare(wholeEvent(route, subject)), occurrence)
    })
  const exchange: Exchange = {
    method: request.method ?? 'GET',
    header: headerReader(request),
    response,
    freshness: { shared: subject.access === 'public', expiresAt: route.grant.expiresAt },
    nowSeconds,
    startedAt,
    signal,
    sending,
  }
  if (route.kind === 'original') await sendOriginal(ports.originals, subject, exchange)
  else sendInfo(subject, exchange)
}

/** nginx's status for a client that closed the connection before the answer was through; only in the event row. */
const CLIENT_LEFT = 499

const wholeEvent = (route: OriginalRoute, subject: DeliverySubject): EventSubject => ({
  ...NO_EVENT,
  hash: subject.digest,
  owner: subject.ownerId,
  servedWidth: subject.facts.width,
  servedHeight: subject.facts.height,
  formatAsked: route.kind,
  formatServed: route.kind === 'original' ? subject.facts.format : 'json',
  originalBytes: subject.bytes,
})

const NO_EVENT: EventSubject = {
  hash: '',
  owner: '',
  askedWidth: 0,
  askedHeight: 0,
  servedWidth: 0,
  servedHeight: 0,
  formatAsked: '',
  formatServed: '',
  variantClass: '',
  dpr: 1,
  slowNetwork: false,
  originalBytes: 0,
}

/** What can be said of a request that was not answered with an image: the hash, if the path has one. */
const refusedEvent = (url: string): EventSubject => ({
  ...NO_EVENT,
  hash: /^\/i\/([0-9a-f]{64})\//.exec(url)?.[1] ?? '',
})
