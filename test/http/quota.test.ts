import { describe, expect, it } from 'vitest'
import { createInProcessLimits } from '../../src/coordination/token-bucket.ts'
import { createQuota, type QuotaRules, rulesInUnits } from '../../src/http/quota.ts'
import { asAdmin, asOwner, picture, temporaryWritePath } from '../fixtures/write-path.ts'

const open = (rules: QuotaRules, limitAdmin = false) => {
  const inUnits = rulesInUnits(rules)
  return temporaryWritePath({
    quota: createQuota(createInProcessLimits(inUnits as Required<QuotaRules>), inUnits, limitAdmin),
  })
}

const HOUR = 3600

describe('quotas', () => {
  it('answer 429 with what is left and when to come back, each owner for itself', async () => {
    await using path = await open({ prechecks: { capacity: 2, fullAfterSeconds: HOUR } })
    const precheck = (headers: Record<string, string>) =>
      path.app.request('/assets/precheck', {
        method: 'POST',
        headers: { ...headers, 'Content-Type': 'application/json' },
        body: JSON.stringify({ sha256: 'ab'.repeat(32), size: 1 }),
      })
    const one = await asOwner(path.app, 'one')
    const first = await precheck(one)
    expect([first.status, first.headers.get('RateLimit'), first.headers.get('RateLimit-Policy')]).toEqual([
      200,
      expect.stringMatching(/^"prechecks";r=1;t=\d+$/),
      '"prechecks";q=2;w=3600',
    ])
    await precheck(one)
    const third = await precheck(one)
    expect([third.status, third.headers.get('Content-Type'), third.headers.get('RateLimit')]).toEqual([
      429,
      'application/problem+json',
      expect.stringMatching(/^"prechecks";r=0;t=\d+$/),
    ])
    expect(Number(third.headers.get('Retry-After'))).toBeGreaterThan(1700)
    expect((await precheck(await asOwner(path.app, 'two'))).status).toBe(200)
    const admin = await precheck(asAdmin)
    expect([admin.status, admin.headers.get('RateLimit')]).toEqual([200, null])
  })

  it('count uploads and their bytes, declared or not; one file larger than the bucket passes when that is full', async () => {
    await using path = await open({
      uploads: { capacity: 3, fullAfterSeconds: HOUR },
      'upload-bytes': { capacity: 1024, fullAfterSeconds: HOUR },
    })
    const owner = await asOwner(path.app, 'one')
    const send = async (body: NonNullable<RequestInit['body']>, headers: Record<string, string> = {}) =>
      path.app.request('/assets/upload', {
        method: 'POST',
        headers: { ...owner, 'Content-Type': 'image/jpeg', ...headers },
        body,
        duplex: 'half',
      } as RequestInit)
    const bytes = await picture(1, 900, 700)
    expect(bytes.length).toBeGreaterThan(2048)
    const first = await send(bytes, { 'Content-Length': String(bytes.length) })
    expect([first.status, first.headers.get('RateLimit')]).toEqual([
      201,
      expect.stringMatching(/^"uploads";r=2;t=\d+, "upload-bytes";r=0;t=\d+$/),
    ])
    const second = await send(bytes, { 'Content-Length': String(bytes.length) })
    expect([second.status, second.headers.get('RateLimit')]).toEqual([429, expect.stringContaining('upload-bytes')])
    const chunked = await send(new Blob([bytes]).stream())
    expect(chunked.status).toBe(429)
    const spent = await send(bytes)
    expect([spent.status, spent.headers.get('RateLimit')]).toEqual([429, expect.stringMatching(/^"uploads"/)])
  })

  it('hold for the admin key where it is wished', async () => {
    await using path = await open({ prechecks: { capacity: 1, fullAfterSeconds: HOUR } }, true)
    const ask = () =>
      path.app.request('/assets/precheck', {
        method: 'POST',
        headers: { ...asAdmin, 'Content-Type': 'application/json' },
        body: JSON.stringify({ sha256: 'ab'.repeat(32), size: 1 }),
      })
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 429])
  })
})
