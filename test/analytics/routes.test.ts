import { describe, expect, it } from 'vitest'
import { METRIC_NAMES } from '../../src/analytics/dimensions.ts'
import { createAnalyticsRoutes } from '../../src/analytics/routes.ts'
import { createGuards } from '../../src/http/principal.ts'
import { problemResponse } from '../../src/http/problem.ts'
import { engineRuns, startAnalytics, temporaryFolder } from './harness.ts'
import { createLog, OCCURRENCE, SUBJECT } from './recording-events.ts'

const ADMIN = { Authorization: 'Bearer the-admin-key' }

const open = async (binding = 'chdb') => {
  const folder = await temporaryFolder()
  const analytics = await startAnalytics({ dataDir: folder.path, log: createLog(), binding })
  const routes = createAnalyticsRoutes({
    guards: createGuards('the-admin-key', async () => undefined),
    query: analytics.query,
  })
  routes.onError((error) => problemResponse(error, 'test'))
  const get = (query: string, headers: Record<string, string> = ADMIN) =>
    routes.request(`/analytics/summary${query}`, { headers })
  const close = async () => {
    await analytics.close()
    await folder[Symbol.asyncDispose]()
  }
  return { analytics, routes, get, [Symbol.asyncDispose]: close }
}

describe('GET /analytics/summary', () => {
  it('is for the admin', async () => {
    await using server = await open()
    expect((await server.get('', {})).status).toBe(401)
    expect((await server.get('', { Authorization: 'Bearer another' })).status).toBe(401)
  })

  it.for([
    ['?group_by=colour', 'colour'],
    ['?from=now', 'now'],
    ['?statsu=200', 'statsu'],
    ['?from=2026-01-02&to=2026-01-01', '2026-01-02'],
  ] as const)('answers 400 naming what is wrong with %s', async ([query, named]) => {
    await using server = await open()
    const response = await server.get(query)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ detail: expect.stringContaining(named) })
  })

  it('answers 503 with Retry-After where there is no engine', async () => {
    await using server = await open('chdb-is-not-here')
    const response = await server.get('')
    expect([response.status, response.headers.get('Retry-After')]).toEqual([503, expect.stringMatching(/^\d+$/)])
  })

  it.runIf(engineRuns)('answers as JSON and, when asked, as CSV', async () => {
    await using server = await open()
    const template = server.analytics.recorder.prepare({ ...SUBJECT, owner: '=cmd|"/c calc"!A1' })
    server.analytics.recorder.record(template, OCCURRENCE)
    const json = await server.get('?group_by=owner,device')
    expect(json.headers.get('Cache-Control')).toBe('no-store')
    expect(await json.json()).toMatchObject({
      group_by: ['owner', 'device'],
      rows: [{ owner: '=cmd|"/c calc"!A1', device: 'desktop', requests: 1, hit_ratio: 1, avg_render_ms: null }],
      total: { requests: 1 },
      complete: true,
    })
    const byName = await server.get('?group_by=owner,device&format=csv')
    const byAccept = await server.get('?group_by=owner,device', {
      ...ADMIN,
      Accept: 'text/csv, application/json;q=0.5',
    })
    const [header, line] = (await byName.text()).split('\r\n')
    expect(header).toBe(['owner', 'device', ...METRIC_NAMES].join(','))
    expect(line).toMatch(/^"'=cmd\|""\/c calc""!A1",desktop,1,20000,/)
    expect(byAccept.headers.get('Content-Type')).toContain('text/csv')
    expect((await server.get('', { ...ADMIN, Accept: '*/*' })).headers.get('Content-Type')).toContain(
      'application/json',
    )
  })

  it('is described in OpenAPI with every parameter', async () => {
    await using server = await open()
    const document = server.routes.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 't', version: '1' } })
    const parameters = document.paths?.['/analytics/summary']?.get?.parameters ?? []
    const names = parameters.map((parameter) => ('name' in parameter ? parameter.name : ''))
    expect(names).toEqual(
      expect.arrayContaining(['from', 'to', 'group_by', 'limit', 'order', 'format', 'hash', 'format_served']),
    )
  })
})
