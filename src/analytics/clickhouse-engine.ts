/** The column engine as a ClickHouse server elsewhere. Nothing is started or stopped; its outages are waited out by the spool. */
import { ClickHouseError, createClient } from '@clickhouse/client'
import { AppError } from '../core/errors.ts'
import type { Engine, EngineHealth } from './engine.ts'

export interface ClickHouseEngineOptions {
  /** `http(s)://user:password@host:8123/database` */
  readonly url: string
  /** Run in order before the first use; must stand being run again, by several processes at once too. */
  readonly schema: readonly string[]
}

export const createClickHouseEngine = (options: ClickHouseEngineOptions): Engine => {
  const client = createClient({
    url: options.url,
    max_open_connections: 5,
    request_timeout: 60_000,
    log: { level: 127 },
  })
  const count = { starts: 0, failures: 0 }
  let health: EngineHealth = { state: 'starting', detail: 'not asked yet' }
  let prepared: Promise<void> | undefined
  const prepare = async (): Promise<void> => {
    for (const query of options.schema) await client.command({ query })
    count.starts++
  }
  return {
    stats: count,
    health: () => health,
    use: async (work, signal) => {
      if (health.state === 'closed') throw new AppError('busy', 'the server is stopping')
      signal.throwIfAborted()
      try {
        prepared ??= prepare()
        await prepared
        const result = await work(client)
        health = { state: 'ready', detail: '' }
        return result
      } catch (error) {
        // An answer, even a refusal, shows that the server is there; the tables may have gone with an old one.
        if (!(error instanceof ClickHouseError) || error.type === 'UNKNOWN_TABLE') prepared = undefined
        if (!signal.aborted && !(error instanceof ClickHouseError)) {
          count.failures++
          health = { state: 'recovering', detail: error instanceof Error ? error.message : String(error) }
        }
        throw error
      }
    },
    close: async () => {
      health = { state: 'closed', detail: 'the server is stopping' }
      await client.close()
    },
  }
}
