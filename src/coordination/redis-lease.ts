/**
 * One render among instances. A lease per key lives in Redis for a few seconds and is renewed while the render runs, so that a holder
 * that died frees it. Whoever finds it held marks it as awaited, and the holder then says on one channel what became of the
 * render: nothing is published where nobody waits. Asking, marking and granting are one script, so no notice falls in between.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { VariantKey } from '../core/ids.ts'
import type { RenderClaim, RenderLease, RenderLeases, RenderOutcome } from './coordination.ts'
import type { Channels } from './redis-channels.ts'
import type { RedisConnection } from './redis-connection.ts'

const CHANNEL = 'renders'
/** A dead holder delays a variant by this much at most. Renewed three times as often, so that one late renewal loses nothing. */
const LEASE_MS = 3_000
/** A renderer is killed at its deadline (30 s by default); a lease that is renewed for longer was forgotten. */
const MAX_HELD_MS = 10 * 60_000
/** For so long after a render whoever missed it before looks again instead of rendering: longer than a slow store takes to answer. */
const HINT_MS = 30_000
/** As delivery does in one process: what cannot be decoded is not tried again for a minute. */
const REFUSAL_MS = 60_000
/** A lease that ran out is asked for by the waiters at slightly different times. */
const SPREAD_MS = 50
/** Of a decoder's message: what a client is told of it fits in. */
const MAX_DETAIL_CHARS = 300

/** KEYS lease, fence. ARGV lease in ms. A token is the time in µs, or one more than the last: it grows also over a lost memory. */
const CLAIM = `
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'held' then
  redis.call('HSET', KEYS[1], 'awaited', '1')
  return {'held', redis.call('PTTL', KEYS[1])}
end
if state == 'undecodable' then return {state, redis.call('HGET', KEYS[1], 'detail')} end
local now = redis.call('TIME')
local token = string.format('%.0f', math.max(now[1] * 1000000 + now[2], (redis.call('GET', KEYS[2]) or 0) + 1))
redis.call('SET', KEYS[2], token)
redis.call('HSET', KEYS[1], 'state', 'held', 'token', token, 'awaited', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {state and 'again' or 'first', token}`

/** KEYS lease. ARGV token, lease in ms. */
const RENEW = `
local held = redis.call('HMGET', KEYS[1], 'state', 'token')
if held[1] ~= 'held' or held[2] ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`

/** KEYS lease. ARGV token, outcome, detail, how long to remember it in ms (0: not), channel, message. */
const FINISH = `
local held = redis.call('HMGET', KEYS[1], 'state', 'token', 'awaited')
if held[1] ~= 'held' or held[2] ~= ARGV[1] then return 0 end
if ARGV[4] == '0' then redis.call('DEL', KEYS[1]) else
  redis.call('HSET', KEYS[1], 'state', ARGV[2], 'detail', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if held[3] == '1' then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
return 1`

const REMEMBERED_MS = { stored: HINT_MS, undecodable: REFUSAL_MS, failed: 0 } as const

export interface LeaseStats {
  granted: number
  /** Found held by another instance. */
  waited: number
  /** Of those: heard what became of it. The others asked again. */
  arrived: number
  /** Rendered without a lease, because nothing could be asked. */
  alone: number
  /** Ran out under a render: another may have begun it again. */
  lost: number
}

export interface RedisLeases extends RenderLeases {
  readonly stats: Readonly<LeaseStats>
}

export const createRedisLeases = (connection: RedisConnection, channels: Channels, leaseMs = LEASE_MS): RedisLeases => {
  const { prefix, run } = connection
  const stats: LeaseStats = { granted: 0, waited: 0, arrived: 0, alone: 0, lost: 0 }
  const arrivals = createArrivals()
  const leaseKey = (key: VariantKey) => `${prefix}render:${key}`

  channels.on(CHANNEL, (text) => {
    const [key = '', kind = '', ...detail] = text.split(' ')
    arrivals.tell(key, parseOutcome(kind, detail.join(' ')))
  })
  channels.onGap(arrivals.giveUp)

  const hold = (key: VariantKey, token: string): RenderLease => {
    const renewing = new AbortController()
    const renew = async () => {
      const until = performance.now() + MAX_HELD_MS
      while (performance.now() < until) {
        await sleep(leaseMs / 3, undefined, { signal: renewing.signal, ref: false })
        // A failure is tried again at the next third: only an answer says that the lease is another's.
        const kept = await run((client) => client.eval(RENEW, 1, leaseKey(key), token, leaseMs)).catch(() => 1)
        if (kept === 1) continue
        stats.lost += 1
        return
      }
    }
    renew().catch(() => {})
    return {
      token: Number(token),
      finish: async (outcome) => {
        if (renewing.signal.aborted) return
        renewing.abort()
        const detail = outcome.kind === 'undecodable' ? outcome.detail.slice(0, MAX_DETAIL_CHARS) : ''
        const message = `${key} ${outcome.kind} ${detail}`
        const kept = REMEMBERED_MS[outcome.kind]
        // Untold, the waiters ask again when the lease has run out.
        await run((client) =>
          client.eval(FINISH, 1, leaseKey(key), token, outcome.kind, detail, kept, prefix + CHANNEL, message),
        ).catch(() => {})
      },
    }
  }

  const ask = async (key: VariantKey): Promise<readonly [string, string | number]> =>
    (await run((client) => client.eval(CLAIM, 2, leaseKey(key), `${prefix}fence`, leaseMs))) as [
      string,
      string | number,
    ]

  return {
    async claim(key): Promise<RenderClaim> {
      if (!channels.live()) {
        stats.alone += 1
        return { kind: 'alone' }
      }
      // Listening before asking: what is said in between is heard.
      const arrival = arrivals.expect(key)
      try {
        const [state, value] = await ask(key)
        if (state === 'held') {
          stats.waited += 1
          const outcome = arrival.within(Number(value) + Math.random() * SPREAD_MS)
          return { kind: 'held', arrival: outcome.then((heard) => countIf(heard, stats)) }
        }
        arrival.leave()
        if (state === 'undecodable') return { kind: 'undecodable', detail: String(value) }
        stats.granted += 1
        return { kind: 'granted', lease: hold(key, String(value)), renderedBefore: state === 'again' }
      } catch {
        arrival.leave()
        stats.alone += 1
        return { kind: 'alone' }
      }
    },
    stats,
  }
}

const countIf = (heard: RenderOutcome | undefined, stats: LeaseStats): RenderOutcome | undefined => {
  if (heard) stats.arrived += 1
  return heard
}

const parseOutcome = (kind: string, detail: string): RenderOutcome => {
  if (kind === 'undecodable') return { kind, detail }
  return { kind: kind === 'stored' ? 'stored' : 'failed' }
}

/** Who waits for a key to be said. Bounded by the renders asked of this process: delivery has one flight a key. */
const createArrivals = () => {
  const waiting = new Map<string, Set<(outcome: RenderOutcome | undefined) => void>>()
  return {
    expect(key: string) {
      const { promise, resolve } = Promise.withResolvers<RenderOutcome | undefined>()
      const group = waiting.get(key) ?? new Set()
      waiting.set(key, group.add(resolve))
      const leave = () => {
        group.delete(resolve)
        if (group.size === 0 && waiting.get(key) === group) waiting.delete(key)
        resolve(undefined)
      }
      return {
        leave,
        within: (ms: number): Promise<RenderOutcome | undefined> => {
          const timer = setTimeout(leave, ms)
          return promise.finally(() => {
            clearTimeout(timer)
            leave()
          })
        },
      }
    },
    tell(key: string, outcome: RenderOutcome) {
      for (const resolve of waiting.get(key) ?? []) resolve(outcome)
    },
    giveUp() {
      for (const group of waiting.values()) for (const resolve of group) resolve(undefined)
    },
  }
}
