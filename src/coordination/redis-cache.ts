/** Small hot values in Redis: one hash an original, so that all of them go with one command. */
import { type Digest, digestOf, type VariantKey } from '../core/ids.ts'
import type { SharedCache } from './coordination.ts'
import type { RedisConnection } from './redis-connection.ts'

/** Larger ones are read from the store about as fast, and a few of them would fill Redis. */
const MAX_VALUE_BYTES = 256 * 1024
/** After the last put of the original. What is asked for later is put again from the store. */
const TTL_MS = 60 * 60 * 1000
/** Values of one original: 64 × 256 KiB = 16 MiB at the most. Past it the hash begins anew. */
const MAX_VALUES = 64

/** KEYS hash. ARGV field, value, most fields, ttl in ms. */
const PUT = `
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then redis.call('UNLINK', KEYS[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[4])`

export interface CacheStats {
  hits: number
  misses: number
  puts: number
  /** Not put: larger than a small value. */
  tooLarge: number
  /** Redis did not answer, or refused. */
  faults: number
}

export interface RedisCache extends SharedCache {
  readonly stats: Readonly<CacheStats>
}

export const createRedisCache = ({ prefix, run }: RedisConnection): RedisCache => {
  const stats: CacheStats = { hits: 0, misses: 0, puts: 0, tooLarge: 0, faults: 0 }
  const hashOf = (digest: Digest) => `${prefix}variants:${digest}`
  const fieldOf = (key: VariantKey) => key.slice(digestOf(key).length + 1)
  const fault = () => {
    stats.faults += 1
  }
  return {
    find: async (key) => {
      const found = await run((client) => client.hgetBuffer(hashOf(digestOf(key)), fieldOf(key))).catch(fault)
      stats[found ? 'hits' : 'misses'] += 1
      // Copied: the client's buffer is a piece of what the socket read, which it would keep alive.
      return found ? Buffer.from(found) : undefined
    },
    put: async (key, value) => {
      const bytes = value.reduce((sum, part) => sum + part.byteLength, 0)
      if (bytes > MAX_VALUE_BYTES) {
        stats.tooLarge += 1
        return false
      }
      const put = await run((client) =>
        client.eval(PUT, 1, hashOf(digestOf(key)), fieldOf(key), Buffer.concat(value), MAX_VALUES, TTL_MS),
      ).catch(fault)
      if (put === undefined) return false
      stats.puts += 1
      return true
    },
    removeOf: async (digest) => {
      const removed = await run((client) => client.unlink(hashOf(digest))).catch(fault)
      return removed !== undefined
    },
    stats,
  }
}
