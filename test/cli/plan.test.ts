import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { duration, oneOf, wholeNumber } from '../../src/cli/arguments.ts'
import { parseRetryAfter } from '../../src/cli/client.ts'
import { isSound } from '../../src/cli/maintenance.ts'
import {
  CHUNKS_ABOVE_BYTES,
  type Details,
  detailsQuery,
  idempotencyKey,
  judgeUpload,
  planFile,
} from '../../src/cli/plan.ts'
import { MAX_ATTEMPTS, waitBefore } from '../../src/cli/retry.ts'
import { chunkLength } from '../../src/cli/send.ts'
import { isLoopback } from '../../src/cli/server.ts'
import { judgeKnown } from '../../src/cli/verify.ts'
import { printable } from '../../src/cli/world.ts'

const UNKNOWN = { exists: false, owned: false }
const CHALLENGE = { nonce: 'n' }
const print = { sha256: 'ab'.repeat(32), bytes: 5 }
const details: Details = { filename: 'a.jpg', tags: [], visibility: undefined }

describe('the plan of a file', () => {
  it.for([
    ['unknown and small', 1000, UNKNOWN, false, 'whole'],
    ['unknown and just small', CHUNKS_ABOVE_BYTES, UNKNOWN, false, 'whole'],
    ['unknown and large', CHUNKS_ABOVE_BYTES + 1, UNKNOWN, false, 'chunks'],
    ['known to others, without a challenge', 1000, { exists: true, owned: false }, false, 'whole'],
    ['known to others', 1000, { exists: true, owned: false, challenge: CHALLENGE }, false, 'claim'],
  ] as const)('%s', ([, bytes, known, dryRun, kind]) => {
    expect(planFile(bytes, known, dryRun).kind).toBe(kind)
  })

  it('skips what is the caller’s, and sends nothing in a dry run', () => {
    const owned = { exists: true, owned: true, asset_id: 'a_1' }
    expect(planFile(1, owned, false)).toEqual({ kind: 'settle', outcome: { status: 'skipped', id: 'a_1' } })
    expect(planFile(1, owned, true)).toEqual({ kind: 'settle', outcome: { status: 'skipped', id: 'a_1' } })
    expect(planFile(1, UNKNOWN, true)).toEqual({ kind: 'settle', outcome: { status: 'planned' } })
  })
})

describe('the idempotency key', () => {
  it('is the same again for the same, and another for anything else', () => {
    const key = idempotencyKey('p/a.jpg', print, details, 0)
    expect(key).toMatch(/^[\x21-\x7e]{1,255}$/)
    expect(idempotencyKey('p/a.jpg', { ...print }, { ...details }, 0)).toBe(key)
    const others = [
      idempotencyKey('q/a.jpg', print, details, 0),
      idempotencyKey('p/a.jpg', { ...print, sha256: 'cd'.repeat(32) }, details, 0),
      idempotencyKey('p/a.jpg', print, { ...details, tags: ['x'] }, 0),
      idempotencyKey('p/a.jpg', print, { ...details, visibility: 'private' }, 0),
      idempotencyKey('p/a.jpg', print, details, 1),
    ]
    expect(new Set([key, ...others]).size).toBe(6)
  })
})

describe('an answer to an upload', () => {
  const answer = (status: number, body: unknown) => ({ status, retryAfterMs: undefined, body })
  it.for([
    ['made', answer(201, { id: 'a_1', hash: print.sha256, urls: { auto: 'u' } }), 'uploaded'],
    ['made before', answer(200, { id: 'a_1', hash: print.sha256 }), 'uploaded'],
    ['of other bytes', answer(201, { id: 'a_1', hash: 'cd'.repeat(32) }), 'failed'],
    ['that is no asset', answer(200, 'hello'), 'failed'],
    ['accepted only', answer(202, { id: 'a_1', hash: print.sha256 }), 'failed'],
    ['refused', answer(415, { detail: 'the file is plain text' }), 'failed'],
  ] as const)('%s', ([, given, status]) => {
    expect(judgeUpload(given, print, true).status).toBe(status)
  })

  it('says what the server says', () => {
    const refused = judgeUpload(answer(415, { detail: 'the file is plain text' }), print, true)
    expect(refused).toEqual({ status: 'failed', why: 'the file is plain text (415)' })
  })
})

describe('waiting before another attempt', () => {
  const waited = (status: number | undefined, number = 1, retryAfterMs?: number) =>
    waitBefore({ status, retryAfterMs, number }, 1)

  it.for([undefined, 408, 429, 500, 502, 503, 504])('after %s', (status) => {
    expect(waited(status)).toBeGreaterThan(0)
    expect(waited(status, MAX_ATTEMPTS)).toBeUndefined()
  })

  it.for([200, 201, 400, 403, 404, 409, 410, 413, 415, 422])('not after %i', (status) => {
    expect(waited(status)).toBeUndefined()
  })

  it('honours Retry-After, of a conflict too, but not for ever', () => {
    expect(waited(503, 1, 7_000)).toBe(7_000)
    expect(waited(409, 1, 1_000)).toBe(1_000)
    expect(waited(503, 1, 3_600_000)).toBeUndefined()
  })

  it('doubles up to a bound, and is spread over the upper half', () => {
    expect([1, 2, 3, 4, 8, 9].map((number) => waited(500, number))).toEqual([250, 500, 1000, 2000, 15_000, 15_000])
    expect(waitBefore({ status: 500, retryAfterMs: undefined, number: 1 }, 0)).toBe(125)
  })

  it('reads seconds and dates', () => {
    const now = Date.parse('2026-11-24T12:00:00Z')
    expect(parseRetryAfter('3', now)).toBe(3000)
    expect(parseRetryAfter('Tue, 24 Nov 2026 12:00:05 GMT', now)).toBe(5000)
    expect(parseRetryAfter('Tue, 24 Nov 2026 11:00:00 GMT', now)).toBe(0)
    expect(parseRetryAfter('soon', now)).toBeUndefined()
    expect(parseRetryAfter(undefined, now)).toBeUndefined()
  })
})

describe('chunks', () => {
  it('cover a file exactly', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e12 }), fc.integer({ min: 1e9, max: 1e10 }), (bytes, chunk) => {
        const lengths = Array.from({ length: Math.ceil(bytes / chunk) }, (_, n) => chunkLength(bytes, chunk, n))
        expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(bytes)
        expect(lengths.slice(0, -1).every((length) => length === chunk)).toBe(true)
      }),
    )
  })
})

describe('values', () => {
  it('name the option that is wrong', () => {
    expect(() => wholeNumber('concurrency', '0', 1, 64)).toThrow('--concurrency takes a whole number from 1 to 64')
    expect(() => wholeNumber('concurrency', '1e1', 1, 64)).toThrow('not "1e1"')
    expect(() => oneOf('visibility', 'secret', ['public', 'private'])).toThrow('--visibility takes public or private')
    expect(() => duration('expires', '1 hour')).toThrow('--expires takes a time')
    expect([duration('expires', '90s'), duration('expires', '2h'), duration('expires', '7d')]).toEqual([
      90, 7200, 604_800,
    ])
  })

  it('tells this machine from others', () => {
    const hosts = [
      'localhost',
      '127.0.0.1',
      '127.9.9.9',
      '[::1]',
      'a.localhost',
      '10.0.0.1',
      'localhost.example',
      '[::2]',
    ]
    expect(hosts.map((host) => isLoopback(new URL(`http://${host}:1`)))).toEqual([
      true,
      true,
      true,
      true,
      true,
      false,
      false,
      false,
    ])
  })

  it('cannot act on a terminal', () => {
    expect(printable('a\u001b[2J\nb\u202e\u009bc ä写')).toBe('a\\u001b[2J\\u000ab\\u202e\\u009bc ä写')
  })

  it('go into a query as they are', () => {
    expect(detailsQuery(details)).toBe('')
    expect(detailsQuery({ ...details, tags: ['a b', 'ä'], visibility: 'private' })).toBe(
      '?tags=a+b%2C%C3%A4&visibility=private',
    )
  })
})

describe('reports', () => {
  it('judge what the server knows', () => {
    expect(judgeKnown({ exists: true, owned: true, size_matches: true })).toBe('present')
    expect(judgeKnown({ exists: true, owned: false, size_matches: true })).toBe('foreign')
    expect(judgeKnown({ exists: false, owned: false })).toBe('absent')
    expect(judgeKnown({ exists: true, owned: true, size_matches: false })).toBe('absent')
  })

  it('are sound only where all that differed was repaired', () => {
    const report = { state: 'done', found: { orphan: 2, missing: 1, sound: 5 }, repaired: 3 }
    expect(isSound(report)).toBe(true)
    expect(isSound({ ...report, repaired: 2 })).toBe(false)
    expect(isSound({ ...report, state: 'failed' })).toBe(false)
    expect(isSound({})).toBe(false)
  })
})
