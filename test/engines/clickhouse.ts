/**
 * What stands in for a ClickHouse server: chDB, the same engine in a process of its own, behind ClickHouse's HTTP protocol, with a
 * proxy in front that can be down, or lose an answer. A real server, its replicas and its users, it is not.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import { startChdb } from '../../src/analytics/chdb-process.ts'
import { type FaultyProxy, startFaultyProxy } from './faulty-proxy.ts'

export interface ClickHouseStandIn extends AsyncDisposable {
  /** For `ORIEL_CLICKHOUSE`; leads through the proxy. */
  readonly url: string
  readonly proxy: FaultyProxy
  /** Asked past the proxy. */
  rows(sql: string): Promise<readonly Record<string, unknown>[]>
}

const LIMITS = { heartbeatTimeoutMs: 15_000, startTimeoutMs: 60_000 }
const LEAVE_MS = 5_000

/** @returns undefined, with a line that says so, where chDB does not run. @throws the reason with `CI=true`. */
export const startClickHouse = async (): Promise<ClickHouseStandIn | undefined> => {
  await using opened = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'oriel-clickhouse-'))
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const place = { binding: 'chdb', dir: join(folder, 'data'), incoming: join(folder, 'incoming') }
  const engine = await startChdb({ ...place, ...LIMITS }, new AbortController().signal).catch((error: unknown) => {
    if (process.env.CI === 'true') throw error
    console.log(`left out: the ClickHouse server's stand-in (${String(error).split('\n', 1)[0]})`)
    return undefined
  })
  if (!engine) return undefined
  opened.defer(() => engine.stop(LEAVE_MS))
  const { username, password } = engine
  const proxy = opened.use(await startFaultyProxy(Number(new URL(engine.url).port), 'http'))
  const client = createClient({ url: engine.url, username, password, log: { level: 127 } })
  opened.defer(() => client.close())
  const url = new URL(proxy.url)
  url.username = username
  url.password = password
  const toClose = opened.move()
  return {
    url: url.href,
    proxy,
    rows: async (sql) => (await client.query({ query: sql, format: 'JSONEachRow' })).json<Record<string, unknown>>(),
    [Symbol.asyncDispose]: () => toClose.disposeAsync(),
  }
}
