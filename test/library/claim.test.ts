import { createHash, createHmac } from 'node:crypto'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createInProcessLimits } from '../../src/coordination/token-bucket.ts'
import { parseDigest, parseOwnerId } from '../../src/core/ids.ts'
import { createQuota } from '../../src/http/quota.ts'
import { createChallenges, WHOLE_BYTES } from '../../src/library/challenge.ts'
import { createProver } from '../../src/library/proof.ts'
import { setFault } from '../../src/metadata/condition.ts'
import { asAdmin, asOwner, picture, temporaryWritePath, upload, type WritePath } from '../fixtures/write-path.ts'

const DIGEST = parseDigest('ab'.repeat(32))
const NOW = new Date('2026-11-24T12:00:00Z')
const claimed = { ownerId: parseOwnerId('mallory'), digest: DIGEST, bytes: 1000 }
const secret = (text: string) => Buffer.from(text)

interface Challenge {
  readonly nonce: string
  readonly ranges?: readonly { readonly start: number; readonly end: number }[]
}

const call = async (app: WritePath['app'], path: string, body: object, headers: Record<string, string>) => {
  const response = await app.request(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return { status: response.status, json: (await response.json()) as Record<string, never> }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const hmac = (nonce: string, bytes: Uint8Array) => createHmac('sha256', nonce).update(bytes).digest('hex')

const open = async () => {
  const path = await temporaryWritePath()
  const bytes = await picture(7)
  await upload(path.app, bytes, {}, '?visibility=private&title=secret')
  const owner = await asOwner(path.app, 'stranger')
  const about = { sha256: sha256(bytes), size: bytes.length }
  const challenge = async (headers = owner) =>
    (await call(path.app, '/assets/precheck', about, headers)).json.challenge as Challenge | undefined
  const claim = (more: object, headers: Record<string, string> = owner) =>
    call(path.app, '/assets/claim', { ...about, ...more }, headers)
  return { ...path, bytes, owner, about, challenge, claim }
}

describe('a claim', () => {
  it('makes an asset for who has the bytes, with his details and nothing of the other’s', async () => {
    await using server = await open()
    const challenge = await server.challenge()
    const proof = hmac(challenge?.nonce ?? '', server.bytes)
    const { status, json } = await server.claim({ nonce: challenge?.nonce, proof, filename: 'mine.jpg', title: null })
    expect(json).toMatchObject({
      hash: server.about.sha256,
      owner: 'stranger',
      filename: 'mine.jpg',
      title: null,
      visibility: 'public',
      deduplicated: true,
    })
    expect(status).toBe(201)
    const after = await call(server.app, '/assets/precheck', server.about, server.owner)
    expect(after.json).toMatchObject({ exists: true, owned: true, asset_id: json.id })
    expect(after.json.challenge).toBeUndefined()
    expect(server.claims.stats.claims).toEqual({ owned: 0, proved: 1, refused: 0 })
  })

  it('is of no use for bytes that the store has damaged: they are unknown, so that they are uploaded, and kept as they are', async () => {
    await using server = await open()
    const digest = parseDigest(server.about.sha256)
    const challenge = await server.challenge()
    const proof = hmac(challenge?.nonce ?? '', server.bytes)
    await server.metadata.transaction((t) => setFault(t, digest, 'damaged'))
    for (const headers of [asAdmin, server.owner]) {
      const { json } = await call(server.app, '/assets/precheck', server.about, headers)
      expect(json).toEqual({ exists: false, owned: false })
    }
    expect((await server.claim({}, asAdmin)).status).toBe(404)
    expect((await server.claim({ nonce: challenge?.nonce, proof })).status).toBe(404)
    expect(await server.originals.size(digest)).toBe(server.bytes.length)
    await upload(server.app, server.bytes)
    expect((await server.claim({}, asAdmin)).status).toBe(201)
  })

  it('needs no proof of who has an asset of them, and is made once for one Idempotency-Key', async () => {
    await using server = await open()
    const headers = { ...asAdmin, 'Idempotency-Key': 'k' }
    const first = await server.claim({}, headers)
    const second = await server.claim({}, headers)
    expect([first.status, second.status, second.json.id]).toEqual([201, 200, first.json.id])
    expect((await server.claim({ title: 'other' }, headers)).status).toBe(422)
    expect((await server.claim({ size: 1 }, asAdmin)).status).toBe(403)
  })

  it('is refused without a proof, with a wrong one, with a used, foreign or made-up nonce', async () => {
    await using server = await open()
    const other = await asOwner(server.app, 'other')
    const right = async () => {
      const nonce = (await server.challenge())?.nonce ?? ''
      return { nonce, proof: hmac(nonce, server.bytes) }
    }
    const good = await right()
    expect(await server.claim({})).toMatchObject({ status: 403, json: { detail: expect.stringContaining('proof') } })
    expect((await server.claim({ nonce: good.nonce })).status).toBe(403)
    expect((await server.claim(good, other)).status).toBe(403)
    expect(
      (await server.claim({ ...good, nonce: good.nonce.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')) })).status,
    ).toBe(403)
    // What is known without the file: its hash and size.
    expect((await server.claim({ ...good, proof: hmac(good.nonce, Buffer.from(server.about.sha256)) })).status).toBe(
      403,
    )
    // The wrong proof has used it up.
    expect(await server.claim(good)).toMatchObject({ status: 403, json: { detail: expect.stringContaining('used') } })
    const fresh = await right()
    const twice = await Promise.all([server.claim(fresh), server.claim(fresh)])
    expect(twice.map(({ status }) => status).sort()).not.toEqual([403, 403])
    expect((await server.claim({ ...fresh, sha256: 'cd'.repeat(32) })).status).toBe(403)
  })

  it('costs a wrong proof more than it has', async () => {
    const rules = { claims: { capacity: 25, fullAfterSeconds: 3600 } }
    await using path = await temporaryWritePath({
      quota: createQuota(createInProcessLimits(rules as never), rules, false),
    })
    const bytes = await picture(7)
    await upload(path.app, bytes)
    const owner = await asOwner(path.app, 'stranger')
    const about = { sha256: sha256(bytes), size: bytes.length }
    const guess = async () => {
      const { json } = await call(path.app, '/assets/precheck', about, owner)
      const { nonce } = json.challenge as unknown as Challenge
      return (await call(path.app, '/assets/claim', { ...about, nonce, proof: '0'.repeat(64) }, owner)).status
    }
    expect([await guess(), await guess()]).toEqual([403, 429])
  })

  it('says that the bytes are gone where they went after the challenge', async () => {
    await using server = await open()
    const nonce = (await server.challenge())?.nonce ?? ''
    const listing = await server.app.request('/assets', { headers: asAdmin })
    const {
      items: [asset],
    } = (await listing.json()) as { items: { id: string }[] }
    await server.app.request(`/assets/${asset?.id}`, { method: 'DELETE', headers: asAdmin })
    await server.app.request(`/internal/assets/${asset?.id}/cleanup?force=true`, { method: 'POST', headers: asAdmin })
    expect((await server.claim({ nonce, proof: hmac(nonce, server.bytes) })).status).toBe(404)
    expect(await server.challenge()).toBeUndefined()
  })
})

describe('a challenge', () => {
  it('is good for its owner, hash, size and time, under any live key', () => {
    const old = createChallenges([secret('old')])
    const rotated = createChallenges([secret('new'), secret('old')])
    const { nonce, expiresAt } = old.issue(claimed, NOW)
    expect(rotated.read(nonce, claimed, NOW)).toEqual({ nonce, expiresAt, ranges: undefined })
    expect(createChallenges([secret('new')]).read(nonce, claimed, NOW)).toBeUndefined()
    for (const other of [{ ownerId: parseOwnerId('a') }, { digest: parseDigest('cd'.repeat(32)) }, { bytes: 1001 }])
      expect(old.read(nonce, { ...claimed, ...other }, NOW)).toBeUndefined()
    expect(old.read(nonce, claimed, expiresAt)).toBeUndefined()
    expect(old.read('', claimed, NOW)).toBeUndefined()
  })

  it('of a large file is over 4 MiB of ranges, apart and within it, the same all day', () => {
    const challenges = createChallenges([secret('key')])
    fc.assert(
      fc.property(fc.integer({ min: WHOLE_BYTES + 1, max: 50 * 2 ** 30 }), (bytes) => {
        const { nonce, ranges = [] } = challenges.issue({ ...claimed, bytes }, NOW)
        expect(ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0)).toBe(4 * 2 ** 20)
        for (const [at, { start, end }] of ranges.entries()) {
          expect(start).toBeGreaterThan(ranges[at - 1]?.end ?? -1)
          expect(end).toBeLessThan(bytes)
        }
        expect(challenges.issue({ ...claimed, bytes }, NOW).ranges).toEqual(ranges)
        expect(challenges.read(nonce, { ...claimed, bytes }, NOW)?.ranges).toEqual(ranges)
      }),
      { numRuns: 50 },
    )
  })
})

describe('a proof', () => {
  it('is read from the ranges, few at a time, and the one too many is told to come back', async () => {
    const file = Buffer.from(Array.from({ length: 1000 }, (_, at) => at & 255))
    let reading = 0
    let most = 0
    const prover = createProver({
      read: async (_, range) => {
        reading += 1
        most = Math.max(most, reading)
        await new Promise((resolve) => setTimeout(resolve, 5))
        reading -= 1
        return Readable.from([file.subarray(range?.start ?? 0, (range?.end ?? 999) + 1)])
      },
    })
    const challenge = {
      nonce: 'n',
      expiresAt: NOW,
      ranges: [
        { start: 10, end: 19 },
        { start: 500, end: 500 },
      ],
    }
    const signal = AbortSignal.timeout(10_000)
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, () => prover.prove(DIGEST, challenge, async () => undefined, signal)),
    )
    const expected = hmac('n', Buffer.concat([file.subarray(10, 20), file.subarray(500, 501)]))
    expect(all.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))).toEqual(Array(18).fill(expected))
    expect([most, prover.stats.running, prover.stats.waiting, prover.stats.refused]).toEqual([2, 0, 0, 2])
  })
})
