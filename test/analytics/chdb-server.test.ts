import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ChdbProcess, startChdb } from '../../src/analytics/chdb-process.ts'
import { BadParameter, readRequest } from '../../src/analytics/chdb-request.ts'
import { engineRuns, temporaryFolder } from './harness.ts'

const open = (url: string, username: string, password: string) =>
  createClient({ url, username, password, log: { level: 127 } })

describe.runIf(engineRuns)('the embedded engine over HTTP', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let host: ChdbProcess
  let client: ReturnType<typeof createClient>
  beforeAll(async () => {
    folder = await temporaryFolder()
    const options = { binding: 'chdb', dir: join(folder.path, 'data'), incoming: join(folder.path, 'incoming') }
    host = await startChdb(
      { ...options, heartbeatTimeoutMs: 15_000, startTimeoutMs: 60_000 },
      new AbortController().signal,
    )
    client = open(host.url, host.username, host.password)
  })
  afterAll(async () => {
    await client.close()
    await host.stop(5000)
    await folder[Symbol.asyncDispose]()
  })
  const rows = async (query: string, query_params: Record<string, unknown> = {}) =>
    (await client.query({ query, query_params, format: 'JSONEachRow' })).json<Record<string, unknown>>()

  it('gives any text parameter back as it came', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 60 }), async (text) => {
        const wellFormed = text.toWellFormed()
        expect(await rows('SELECT {text:String} AS text', { text: wellFormed })).toEqual([{ text: wellFormed }])
      }),
      { numRuns: 50, examples: [["'; DROP TABLE x; --"], ['\\'], ["\\'"], ['\0\t\n'], ['{text:String}'], ['\\N']] },
    )
  })

  it('lets nobody in without the password', async () => {
    const stranger = open(host.url, host.username, 'guess')
    await expect(stranger.query({ query: 'SELECT 1' })).rejects.toMatchObject({ code: '516' })
    await stranger.close()
  })

  it('keeps one query’s settings from the next', async () => {
    await client.query({
      query: 'SELECT 1',
      clickhouse_settings: { max_result_rows: '1', result_overflow_mode: 'throw' },
    })
    expect(await rows('SELECT number FROM numbers(3)')).toHaveLength(3)
  })

  it('kills the query of a client that hangs up, and stays alive for others', async () => {
    const hangUp = new AbortController()
    const slow = client.query({
      query: 'SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) % 7 = 1',
      abort_signal: hangUp.signal,
    })
    const running = async () =>
      rows(
        "SELECT query_id FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%processes%'",
      )
    while ((await running()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    hangUp.abort()
    await expect(slow).rejects.toThrow()
    while ((await running()).length > 0) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await rows('SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  it.for([
    ['SELECT * FROM numbers(10000000)', '396'],
    ['SELECT groupArray(number) FROM numbers(1000000000)', '241'],
    ['SELECT nonsense', '47'],
  ] as const)('refuses %s with code %s', async ([query, code]) => {
    await expect(rows(query)).rejects.toMatchObject({ code })
  })
})

it('refuses a parameter whose name could be SQL', () => {
  expect(() => readRequest(new URLSearchParams({ query: 'SELECT 1', 'x = 1; DROP': '2' }), 'tag')).toThrow(BadParameter)
})
