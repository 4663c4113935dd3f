/** What Redis does for several origins, put together over one connection. For speed: every part of it may vanish at any moment. */
import type { RateLimits, RateRule } from './coordination.ts'
import { createRedisCache, type RedisCache } from './redis-cache.ts'
import { createChannels } from './redis-channels.ts'
import { openRedisConnection } from './redis-connection.ts'
import { createRedisLeases, type RedisLeases } from './redis-lease.ts'
import { createRedisLimits, type LimitStats } from './redis-limits.ts'
import { createRedisNotices, type RedisNotices } from './redis-notices.ts'

export interface RedisOptions {
  readonly url: string
  /** Told when Redis breaks, once until it works again. */
  readonly onFault: (what: string) => void
  /** How long a render lease lasts without being renewed; shorter in tests only. */
  readonly leaseMs?: number
}

export interface SharedRedis extends AsyncDisposable {
  readonly notices: RedisNotices
  readonly leases: RedisLeases
  readonly cache: RedisCache
  /** Limits under rules of one's own; names are unique among all instances. */
  limits<Name extends string>(rules: Readonly<Record<Name, RateRule>>): RateLimits<Name>
  /** Never `down`: images are served without it (CONTRACT §7.6). */
  health(): { readonly state: 'ready' | 'degraded'; readonly detail: string }
  readonly stats: () => Readonly<Record<string, number>>
}

/** Opens also when Redis is not there yet, after a bounded wait. */
export const openRedis = async (options: RedisOptions): Promise<SharedRedis> => {
  await using opened = new AsyncDisposableStack()
  const connection = opened.use(await openRedisConnection(options.url, options.onFault))
  const channels = opened.use(createChannels(connection))
  const notices = createRedisNotices(channels)
  const leases = createRedisLeases(connection, channels, options.leaseMs)
  const cache = createRedisCache(connection)
  const limitStats: LimitStats = { taken: 0, refused: 0, insured: 0 }
  const well = () => connection.up() && channels.live()
  const toClose = opened.move()
  return {
    notices,
    leases,
    cache,
    limits: (rules) => createRedisLimits(connection, rules, limitStats),
    health: () => ({
      state: well() ? 'ready' : 'degraded',
      detail: `Redis, ${connection.address}${well() ? '' : ': does not answer; serving without it'}`,
    }),
    stats: () => ({
      live: well() ? 1 : 0,
      ...connection.stats,
      ...named('channel', channels.stats),
      ...named('notice', notices.stats),
      ...named('render', leases.stats),
      ...named('cache', cache.stats),
      ...named('limit', limitStats),
    }),
    [Symbol.asyncDispose]: () => toClose.disposeAsync(),
  }
}

/** `{ hits: 1 }` of `cache` becomes `{ cacheHits: 1 }`. */
const named = (part: string, stats: object): Record<string, number> =>
  Object.fromEntries(
    Object.entries(stats).map(([name, value]) => [`${part}${name.charAt(0).toUpperCase()}${name.slice(1)}`, value]),
  )
