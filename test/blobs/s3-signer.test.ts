/** What is signed for clients with credentials for a time; the store here is a double that refuses what is not signed. */
import { createServer, type IncomingMessage } from 'node:http'
import { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openSigner } from '../../src/blobs/s3-signer.ts'
import { locationOf } from './s3-fixture.ts'

const location = locationOf('photos', undefined, { region: 'eu-1', prefix: 'p/' })
/** As the driver has them of its own client: what the SDK finds in the environment. */
const found = () => new S3Client({ region: 'eu-1' }).config.credentials
const none = { put: async () => true, removeAll: async () => undefined }
const log = { info: () => undefined, warn: () => undefined }

/**
 * @param smuggled what it answers to a put with a header that is not signed; may be changed.
 * @param locked what it answers to a put whose signature forbids such headers, by signing them empty.
 */
const startStrict = async (smuggled: number, locked?: number) => {
  const state = { smuggled }
  const statusOf = ({ url = '', headers }: IncomingMessage): number => {
    if (locked !== undefined && decodeURIComponent(url).includes('x-amz-copy-source')) return locked
    return 'x-amz-copy-source' in headers ? state.smuggled : 200
  }
  const server = createServer((asked, answer) => {
    asked.resume().once('end', () => answer.writeHead(statusOf(asked)).end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    state,
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

describe('a signer for clients', () => {
  const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString()
  beforeEach(() => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIATEST')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret-of-the-test')
    vi.stubEnv('AWS_SESSION_TOKEN', 'token-of-the-test')
    vi.stubEnv('AWS_CREDENTIAL_EXPIRATION', inMinutes(20))
  })
  afterEach(() => void vi.unstubAllEnvs())

  it('says that what it signs ends with its credentials, and gives their token on', async () => {
    await using store = await startStrict(403)
    const signer = await openSigner({ ...location, endpoint: store.url }, found(), none, log)
    if (!signer) throw new Error('no signer')
    expect(await signer.lasts(600)).toBe(600)
    const seconds = await signer.lasts(3_600)
    expect(seconds).toBeLessThanOrEqual(1_200)
    expect(seconds).toBeGreaterThan(1_000)
    const { url } = await signer.sign('p/sessions/x', 5, undefined, seconds)
    expect(new URL(url).searchParams.get('X-Amz-Security-Token')).toBe('token-of-the-test')
    expect(url).not.toContain('secret-of-the-test')
  })

  it('signs for the public address, its port, and the style of the location', async () => {
    await using store = await startStrict(403)
    const publicEndpoint = 'https://store.example:9443'
    const signer = await openSigner({ ...location, endpoint: store.url, publicEndpoint }, found(), none, log)
    const signed = await signer?.sign('p/sessions/x', 5, undefined, 60)
    expect(signed?.url).toMatch(/^https:\/\/store\.example:9443\/photos\/p\/sessions\/x\?/)
  })

  it.each([200, 204])('is none where the store answers %i to what is not signed', async (status) => {
    await using store = await startStrict(status)
    expect(await openSigner({ ...location, endpoint: store.url }, found(), none, log)).toBeUndefined()
  })

  it.each([500, 501])(
    'takes the plain signature where the store answers %i to the one that forbids',
    async (status) => {
      await using store = await startStrict(403, status)
      const signer = await openSigner({ ...location, endpoint: store.url }, found(), none, log)
      expect((await signer?.sign('p/sessions/x', 5, undefined, 60))?.url).toContain('X-Amz-Signature')
    },
  )

  it.each([429, 408, 503])('takes %i to what is not signed for no refusal', async (status) => {
    await using store = await startStrict(status)
    const signer = await openSigner({ ...location, endpoint: store.url }, found(), none, log)
    await expect(signer?.sign('p/sessions/x', 5, undefined, 60)).rejects.toMatchObject({ kind: 'busy' })
  })

  it('is none where the store refuses the origin itself, for good', async () => {
    await using store = await startStrict(403)
    const $metadata = { httpStatusCode: 403 }
    const refused = new S3ServiceException({ name: 'AccessDenied', $fault: 'client', $metadata })
    const shut = { ...none, put: () => Promise.reject(refused) }
    expect(await openSigner({ ...location, endpoint: store.url }, found(), shut, log)).toBeUndefined()
  })

  it.each([
    [403, 'signs'],
    [200, 'says that it never will'],
  ] as const)('waits for a store that is away, and %i later %s', async (later, what) => {
    await using store = await startStrict(503)
    const signer = await openSigner({ ...location, endpoint: store.url }, found(), none, log, 1)
    const sign = async () => {
      const { url } = (await signer?.sign('p/sessions/x', 5, undefined, 60)) ?? {}
      return url === undefined ? 'nothing' : 'signed'
    }
    await expect(sign()).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: 1 })
    await expect(signer?.lasts(60)).rejects.toMatchObject({ kind: 'busy' })
    store.state.smuggled = later
    const outcome = () => sign().catch((error: { readonly kind: string }) => error.kind)
    await expect.poll(outcome).toBe(what === 'signs' ? 'signed' : 'conflict')
  })
})
