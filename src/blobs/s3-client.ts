/**
 * One bucket spoken to within limits: every call has a time limit, calls at once are bounded, and after repeated faults
 * none is made for some seconds (circuit breaker), so that a store that hangs costs its users nothing but the answer "busy".
 */
import { S3Client } from '@aws-sdk/client-s3'
import {
  BrokenCircuitError,
  BulkheadRejectedError,
  bulkhead,
  CircuitState,
  CountBreaker,
  circuitBreaker,
  handleWhen,
} from 'cockatiel'
import { judgeS3Error, RETRY_AFTER_SECONDS, storeBusy } from './s3-faults.ts'
import type { S3Location } from './s3-location.ts'

/** A store in the same region connects within milliseconds; two seconds leave room for one lost SYN (1 s). */
const CONNECT_LIMIT_MS = 2_000
/** One attempt until its answer begins, the body sent included: a part of 8 MiB at 0.5 MB/s. */
const ATTEMPT_LIMIT_MS = 15_000
/** As above where nothing large is sent: S3 answers such within a second or two at worst. */
export const SHORT_ATTEMPT_LIMIT_MS = 5_000
/** A body that stands still for so long is given up. `s3-body.ts` goes on with another request, if somebody still reads. */
const IDLE_LIMIT_MS = 15_000
/** The same of work that the store does by itself and says nothing meanwhile: a copy of 256 MiB at 2 MB/s, or the end of 10,000 parts. */
const SILENT_LIMIT_MS = 120_000
/** The SDK's own retries with backoff: of one failing in five, three attempts leave 1 in 125. */
const ATTEMPTS = 3

/** Calls with small bodies at once, and waiting: 64 puts of 20 ms are 3,200 a second. */
const MAX_CALLS = 64
const MAX_WAITING_CALLS = 1_024
/** Bodies being sent to clients or copied here. Each holds a socket for as long as its reader takes. */
export const MAX_STREAMS = 256
/** Of `s3-upload.ts`: large files at once, and the parts of each. */
export const MAX_LARGE_UPLOADS = 8
export const PARTS_AT_ONCE = 2

/** Half of the last 20 calls failed, after the SDK's retries: the circuit opens. Five calls at least, so that one is no outage. */
const BREAKER = { threshold: 0.5, size: 20, minimumNumberOfCalls: 5 }

export interface S3Stats {
  calls: number
  /** Calls that failed for good: no answer, or one that says "not now". */
  faults: number
  /** Calls answered by a refusal: credentials, bucket, what the store lacks. */
  refused: number
  /** Not even tried: the circuit was open, or too many were under way. */
  rejected: number
  opened: number
  /** 1 while the circuit is open. */
  open: number
  /** Bodies that ended too early. */
  bodyFaults: number
  /** Bodies being read now. */
  streams: number
}

export interface S3CallOptions {
  /** Until the call has its answer, retries included. */
  readonly limitMs: number
  readonly signal?: AbortSignal
}

export interface S3Connection extends Disposable {
  readonly location: S3Location
  readonly client: S3Client
  /** For copies, and the end of an object in parts: it waits for an answer longer than the other. */
  readonly copier: S3Client
  readonly stats: S3Stats
  /**
   * Makes a call. `send` hands the signal on to the SDK; it also ends a body that is still being read when the caller aborts.
   * @throws AppError `busy` when it was not tried; the signal's reason when that aborts; what `send` throws.
   */
  call<T>(send: (signal: AbortSignal) => Promise<T>, options: S3CallOptions): Promise<T>
  /** As `call`, but not counted among the calls at once: for who has a bound of its own. */
  longCall<T>(send: (signal: AbortSignal) => Promise<T>, options: S3CallOptions): Promise<T>
}

export interface S3ConnectionOptions {
  /** How long the circuit stays open before one call tries again. */
  readonly openMs?: number
  /** How long a body may stand still. */
  readonly idleMs?: number
}

export const connectS3 = (location: S3Location, options: S3ConnectionOptions = {}): S3Connection => {
  const client = createClient(location, { attemptMs: ATTEMPT_LIMIT_MS, idleMs: options.idleMs ?? IDLE_LIMIT_MS })
  const { credentials } = client.config
  const copier = createClient(location, { attemptMs: SILENT_LIMIT_MS, idleMs: SILENT_LIMIT_MS, credentials })
  const stats: S3Stats = { calls: 0, faults: 0, refused: 0, rejected: 0, opened: 0, open: 0, bodyFaults: 0, streams: 0 }
  const openMs = options.openMs ?? RETRY_AFTER_SECONDS * 1000
  const circuit = circuitBreaker(
    handleWhen((error) => !(error instanceof CallerLeft)),
    { halfOpenAfter: openMs, breaker: new CountBreaker(BREAKER) },
  )
  circuit.onStateChange((state) => {
    if (state === CircuitState.Open) stats.opened += 1
    stats.open = state === CircuitState.Closed ? 0 : 1
  })
  const places = bulkhead(MAX_CALLS, MAX_WAITING_CALLS)

  const longCall: S3Connection['longCall'] = async (send, { limitMs, signal }) => {
    signal?.throwIfAborted()
    // While one call tries whether the store is back, cockatiel would let all others wait for its outcome.
    if (circuit.state === CircuitState.HalfOpen) throw rejected(stats)
    try {
      const answer = await circuit.execute(() => {
        stats.calls += 1
        return asAnswer(withLimit(send, limitMs, signal))
      })
      if ('value' in answer) return answer.value
      if (judgeS3Error(answer.refusal) === 'refused') stats.refused += 1
      throw answer.refusal
    } catch (error) {
      if (error instanceof CallerLeft) throw error.cause
      if (error instanceof BrokenCircuitError) throw rejected(stats)
      if (judgeS3Error(error) === 'fault') stats.faults += 1
      throw error
    }
  }

  return {
    location,
    client,
    copier,
    stats,
    longCall,
    call: async (send, callOptions) => {
      try {
        return await places.execute(() => longCall(send, callOptions))
      } catch (error) {
        throw error instanceof BulkheadRejectedError ? rejected(stats, 'too much is asked of the object store') : error
      }
    },
    [Symbol.dispose]: () => {
      client.destroy()
      copier.destroy()
    },
  }
}

interface ClientOptions {
  readonly attemptMs: number
  /** Of silence on a connection. */
  readonly idleMs: number
  /** Undefined: what the SDK finds. */
  readonly credentials?: S3Client['config']['credentials']
}

/**
 * Ceph 16.2 and others take no trailing checksums, hence `WHEN_REQUIRED`. What we send is checked all the same: requests are
 * signed with the SHA-256 of their body (SigV4), which a store must refuse when it got other bytes.
 */
const createClient = ({ endpoint, region, forcePathStyle }: S3Location, options: ClientOptions): S3Client => {
  const { attemptMs, idleMs, credentials } = options
  const agent = { keepAlive: true, maxSockets: MAX_CALLS + MAX_STREAMS + MAX_LARGE_UPLOADS * PARTS_AT_ONCE }
  return new S3Client({
    region,
    forcePathStyle,
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    retryMode: 'standard',
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_LIMIT_MS,
      requestTimeout: attemptMs,
      throwOnRequestTimeout: true,
      socketTimeout: idleMs,
      httpAgent: agent,
      httpsAgent: agent,
    },
  })
}

/** The caller's own abort: no fault of the store. */
class CallerLeft extends Error {}

/** To the circuit a store that answers "no such object", the commonest answer of all, is a store that is well. */
const asAnswer = async <T>(sent: Promise<T>): Promise<{ readonly value: T } | { readonly refusal: unknown }> => {
  try {
    return { value: await sent }
  } catch (error) {
    if (error instanceof CallerLeft || judgeS3Error(error) === 'fault') throw error
    return { refusal: error }
  }
}

const rejected = (stats: S3Stats, message?: string) => {
  stats.rejected += 1
  return storeBusy(undefined, message)
}

/** The limit ends with the answer; a body that comes after it has the limits of who reads it. */
const withLimit = async <T>(
  send: (signal: AbortSignal) => Promise<T>,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<T> => {
  const limit = new AbortController()
  const late = setTimeout(() => limit.abort(), limitMs)
  try {
    return await send(signal ? AbortSignal.any([signal, limit.signal]) : limit.signal)
  } catch (error) {
    if (signal?.aborted) throw new CallerLeft('aborted', { cause: signal.reason })
    if (limit.signal.aborted) throw new Error(`the object store did not answer within ${limitMs} ms`, { cause: error })
    throw error
  } finally {
    clearTimeout(late)
  }
}
