import { Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { createOpsRoutes, type EngineHealth } from '../../src/http/ops.ts'

const READY: EngineHealth = { state: 'ready' }

const ask = async (checks: Parameters<typeof createOpsRoutes>[0]) => {
  const response = await createOpsRoutes(checks, new Registry()).request('/readyz')
  return { status: response.status, body: (await response.json()) as { engines: Record<string, EngineHealth> } }
}

describe('readiness', () => {
  it.for([
    ['every engine is ready', () => READY, 200],
    ['an engine is idle', () => ({ state: 'idle' as const }), 200],
    ['an engine is degraded', () => ({ state: 'degraded' as const }), 200],
    ['an engine is down', () => ({ state: 'down' as const }), 503],
    ['a check fails', () => Promise.reject(new Error('no disk')), 503],
    [
      'a check fails at once',
      () => {
        throw new Error('no disk')
      },
      503,
    ],
    ['a check hangs', () => new Promise<EngineHealth>(() => undefined), 503],
  ] as const)('when %s', async ([, check, status]) => {
    const answer = await ask({ one: check, other: () => READY })
    expect(answer.status).toBe(status)
    expect(answer.body.engines.other).toEqual(READY)
  })

  it('asks an engine once for all who ask meanwhile', async () => {
    let asked = 0
    const { promise, resolve } = Promise.withResolvers<EngineHealth>()
    const check = () => {
      asked++
      return promise
    }
    const routes = createOpsRoutes({ one: check }, new Registry())
    const waiting = [1, 2, 3].map(async () => routes.request('/readyz'))
    resolve(READY)
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200])
    expect(asked).toBe(1)
  })

  it('forgets a failure', async () => {
    const answers: EngineHealth[] = [{ state: 'down' }]
    const routes = createOpsRoutes({ one: () => answers.pop() ?? READY }, new Registry())
    expect((await routes.request('/readyz')).status).toBe(503)
    await expect.poll(async () => (await routes.request('/readyz')).status).toBe(200)
  })
})
