import { describe, expect, it } from 'vitest'
import { readConfig } from '../../config/environment.ts'
import { jobRoutes } from '../../src/jobs/handlers.ts'
import { notify } from '../../src/jobs/notify.ts'
import { createWebhook } from '../../src/jobs/webhook.ts'
import { createOutbox, listJobs } from '../../src/metadata/outbox.ts'
import { startReceiver, WEBHOOK_SECRET } from '../engines/receiver.ts'
import { asAdmin, asOwner, picture, temporaryWritePath, upload, type WritePath } from '../fixtures/write-path.ts'

const never = new AbortController().signal
const secret = Buffer.from(WEBHOOK_SECRET.slice('whsec_'.length), 'base64')
const outbox = createOutbox(jobRoutes({ edges: false, scan: 'off', prewarm: false, notify: true }))

/** Does every job there is, once. */
const tell = async ({ metadata }: Pick<WritePath, 'metadata'>, url: string): Promise<void> => {
  const { run } = notify({ metadata }, createWebhook({ url, secret }))
  for (const { id, kind, digest } of await listJobs(metadata.search, { after: 0, limit: 50 }))
    await run({ id, kind, digest, attempts: 1, claim: 'x' }, never)
}

describe('an application that wants to be told', () => {
  it('hears of every change how things are, signed so that the reference library takes it', async () => {
    await using receiver = await startReceiver()
    await using path = await temporaryWritePath({ outbox })
    const body = await picture(1)
    const { asset } = await upload(path.app, body)
    const other = (await upload(path.app, body, await asOwner(path.app, 'other'))).asset
    await path.app.request(`/assets/${asset.id}`, { method: 'DELETE', headers: asAdmin })
    await tell(path, receiver.url)
    expect(receiver.refused).toEqual([])
    expect(receiver.heard.map(({ id, type, data }) => [id, type, data.hash])).toEqual(
      [1, 2, 3].map((id) => [`msg_${id}`, 'picture.changed', asset.hash]),
    )
    expect(receiver.heard[0]?.data).toMatchObject({ scan: { state: 'none' }, fault: null, has_more_assets: false })
    const assets = receiver.heard[2]?.data.assets ?? []
    expect(assets.map(({ id, visibility, deleted_at }) => [id, visibility, deleted_at !== null]).sort()).toEqual(
      [
        [asset.id, 'public', true],
        [other.id, 'public', false],
      ].sort(),
    )
  })

  it('is asked again where it refuses, is away, or sends us elsewhere', async () => {
    await using receiver = await startReceiver()
    await using path = await temporaryWritePath({ outbox })
    await upload(path.app, await picture(1))
    receiver.status = 500
    await expect(tell(path, receiver.url)).rejects.toThrow('the receiver answered 500')
    receiver.status = 302
    await expect(tell(path, receiver.url)).rejects.toThrow()
    receiver.status = 204
    await tell(path, receiver.url)
    // The same id each time: a receiver knows what it has had.
    expect([receiver.refused, receiver.heard.map(({ id }) => id)]).toEqual([['msg_1', 'msg_1'], ['msg_1']])
    await receiver[Symbol.asyncDispose]()
    await expect(tell(path, receiver.url)).rejects.toThrow()
  })

  it('hears of a picture that is gone for good', async () => {
    await using receiver = await startReceiver()
    await using path = await temporaryWritePath({ outbox, graceMs: 0 })
    const { asset } = await upload(path.app, await picture(1))
    await path.app.request(`/assets/${asset.id}`, { method: 'DELETE', headers: asAdmin })
    const cleaned = await path.app.request(`/internal/assets/${asset.id}/cleanup`, { method: 'POST', headers: asAdmin })
    expect(cleaned.ok).toBe(true)
    await tell(path, receiver.url)
    expect(receiver.heard.at(-1)?.data).toMatchObject({ hash: asset.hash, scan: null, assets: [] })
  })
})

describe('ORIEL_WEBHOOK', () => {
  const faultsOf = (env: Record<string, string>): string => {
    try {
      readConfig(env)
      return 'none'
    } catch (error) {
      return String(error)
    }
  }
  it('needs a secret of Standard Webhooks, which is never repeated', () => {
    const url = { ORIEL_WEBHOOK: 'https://app.example/hook' }
    expect(readConfig({ ...url, ORIEL_WEBHOOK_SECRET: WEBHOOK_SECRET }).ORIEL_WEBHOOK_SECRET).toEqual(secret)
    expect(faultsOf(url)).toContain('ORIEL_WEBHOOK_SECRET: needed with ORIEL_WEBHOOK')
    for (const wrong of [
      'hunter2hunter2',
      `whsec_${'h'.repeat(31)}`,
      `whsec_${'h'.repeat(200)}`,
      'whsec_hunter2hunter2!',
    ]) {
      const faults = faultsOf({ ...url, ORIEL_WEBHOOK_SECRET: wrong })
      expect(faults).toContain('ORIEL_WEBHOOK_SECRET: whsec_ and the base64')
      expect(faults).not.toContain(wrong)
    }
    expect(faultsOf({ ORIEL_WEBHOOK: 'ftp://app.example', ORIEL_WEBHOOK_SECRET: WEBHOOK_SECRET })).toContain(
      'ORIEL_WEBHOOK:',
    )
  })
})
