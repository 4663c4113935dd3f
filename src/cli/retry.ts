/** Trying again: what is worth it, and after how long. The decision is pure; `persist` acts on it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, NoAnswer } from './client.ts'
import { EXIT, Stop } from './exit.ts'

/** 0.25 + 0.5 + 1 + 2 + 4 + 8 + 15 + 15 + 15 s: a server has a minute to restart. */
export const MAX_ATTEMPTS = 10
const FIRST_WAIT_MS = 250
const MAX_WAIT_MS = 15_000
/** A server that wants to be left alone for longer is not waited for. */
const MAX_RETRY_AFTER_MS = 120_000

/** The server's state, not the request's fault. 409 only with `Retry-After`: something else is under way there. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504])

/** `status` undefined: no answer at all. */
export interface Attempt {
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined
  /** Of this call, from 1. */
  readonly number: number
}

/**
 * @param random from 0 to 1: waits are spread, so that clients which failed together do not come back together.
 * @returns milliseconds to wait before the next attempt; undefined where there is to be none.
 */
export const waitBefore = ({ status, retryAfterMs, number }: Attempt, random: number): number | undefined => {
  const passing = status === undefined || PASSING.has(status) || (status === 409 && retryAfterMs !== undefined)
  if (!passing || number >= MAX_ATTEMPTS || (retryAfterMs ?? 0) > MAX_RETRY_AFTER_MS) return undefined
  const backoff = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (number - 1))
  return Math.max(retryAfterMs ?? 0, backoff * (0.5 + random / 2))
}

export interface Persistence {
  readonly signal: AbortSignal
  /** Told before each wait, with its milliseconds and why. */
  readonly onWait?: (ms: number, why: string) => void
}

/**
 * Calls until there is an answer that more tries would not change, which may be an error.
 * @throws Stop `unreachable` for 401, which no other call would fare better with; NoAnswer when there never was one; the
 * signal's reason.
 */
export const persist = async (call: () => Promise<Answer>, { signal, onWait }: Persistence): Promise<Answer> => {
  for (let number = 1; ; number += 1) {
    const result = await call().catch((error: unknown) => {
      if (error instanceof NoAnswer) return error
      throw error
    })
    const answer = result instanceof NoAnswer ? undefined : result
    if (answer?.status === 401) throw new Stop(EXIT.unreachable, `the server refuses the key: ${problemOf(answer)}`)
    const ms = waitBefore({ status: answer?.status, retryAfterMs: answer?.retryAfterMs, number }, Math.random())
    if (ms === undefined) {
      if (result instanceof NoAnswer) throw result
      return result
    }
    onWait?.(ms, result instanceof NoAnswer ? result.message : problemOf(result))
    await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

/** What a refusal says: `detail` of its problem+json (RFC 9457), else its status. */
export const problemOf = ({ status, body }: Answer): string => {
  const detail = typeof body === 'object' && body !== null && 'detail' in body ? body.detail : undefined
  return typeof detail === 'string' ? `${detail} (${status})` : `the server answered ${status}`
}
