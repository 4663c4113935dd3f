import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import { newUploadId, parseDigest } from '../../src/core/ids.ts'
import type { SessionState } from '../../src/core/upload-session.ts'
import { mergeSent } from '../../src/ingest/parts.ts'
import {
  advance,
  assertWhole,
  contiguousBytes,
  gapsIn,
  missingChunks,
  planChunks,
  type SessionEvent,
  spanOf,
  stateAt,
} from '../../src/ingest/session.ts'

const MIB = 1024 * 1024
const now = new Date(1_000_000)
const session = (state: SessionState, expiresAt = new Date(2_000_000)) => ({
  id: newUploadId(),
  state,
  expiresAt,
  failure: state === 'failed' ? ({ kind: 'undecodable', message: 'no picture' } as const) : null,
  assetId: null,
})
const kindOf = (work: () => unknown): string => {
  try {
    return String(work())
  } catch (error) {
    return error instanceof AppError ? `! ${error.kind}` : 'another error'
  }
}

const EVENTS = ['receive', 'complete', 'release', 'finish', 'fail', 'expire', 'abort'] as const

describe('the states of an upload session', () => {
  it.for([
    ['receiving', ['receiving', 'completing', 'receiving', '! conflict', '! conflict', 'expired', 'aborted']],
    ['completing', ['! conflict', 'completing', 'receiving', 'done', 'failed', 'expired', 'aborted']],
    ['done', ['! conflict', 'done', '! conflict', 'done', '! conflict', '! conflict', '! conflict']],
    ['failed', ['! undecodable', '! undecodable', '! undecodable', '! undecodable', 'failed', 'failed', 'failed']],
    ['expired', ['! gone', '! gone', '! gone', '! gone', '! gone', 'expired', 'expired']],
    ['aborted', ['! gone', '! gone', '! gone', '! gone', '! gone', 'aborted', 'aborted']],
  ] as const)('%s: each event leads where it should', ([state, expected]) => {
    expect(EVENTS.map((event) => kindOf(() => advance(session(state), event, now)))).toEqual(expected)
  })

  it('takes nothing after its time, though no sweep has come by', () => {
    const late = session('receiving', now)
    expect(stateAt(late, now)).toBe('expired')
    expect(kindOf(() => advance(late, 'receive', now))).toBe('! gone')
    expect(kindOf(() => advance(late, 'complete', now))).toBe('! gone')
  })

  it('never leaves an end, whatever comes, and repeats what an event did', () => {
    const ends = new Set<SessionState>(['done', 'failed', 'expired', 'aborted'])
    fc.assert(
      fc.property(fc.array(fc.constantFrom<SessionEvent>(...EVENTS), { maxLength: 30 }), (events) => {
        let state: SessionState = 'receiving'
        for (const event of events) {
          const next = kindOf(() => advance(session(state), event, now))
          if (next.startsWith('!')) continue
          if (ends.has(state)) expect(next).toBe(state)
          state = next as SessionState
          // A legal event that comes again is legal, unless it let the session go back to receiving or ended it for another.
          const again = kindOf(() => advance(session(state), event, now))
          expect(again).toBe(state)
        }
      }),
    )
  })
})

describe('chunks', () => {
  it.for([
    [1, 8 * MIB, 1],
    [8 * MIB, 8 * MIB, 1],
    [8 * MIB + 1, 8 * MIB, 2],
    [50 * 1024 * MIB, 8 * MIB, 6400],
    [100_000 * MIB, 10 * MIB, 10_000],
    [100_000 * MIB + 1, 11 * MIB, 9_091],
  ] as const)('a file of %i bytes has chunks of %i, %i of them', ([bytes, chunkBytes, chunkCount]) => {
    expect(planChunks(bytes)).toEqual({ chunkBytes, chunkCount })
  })

  it('are as small as the client asks for', () => {
    expect(planChunks(256 * 1024, 16 * 1024)).toEqual({ chunkBytes: 16 * 1024, chunkCount: 16 })
    expect(planChunks(50 * 1024 * MIB, 16 * 1024)).toEqual({ chunkBytes: 6 * MIB, chunkCount: 8534 })
  })

  it('cover the file without gap or overlap', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (bytes) => {
        const { chunkBytes, chunkCount } = planChunks(bytes)
        expect(chunkCount).toBeLessThanOrEqual(10_000)
        const spans = Array.from({ length: chunkCount }, (_, index) => spanOf({ bytes, chunkBytes }, index))
        expect(gapsIn(spans, bytes)).toEqual([])
        expect(spans.reduce((sum, span) => sum + span.bytes, 0)).toBe(bytes)
      }),
      { numRuns: 30 },
    )
  })

  it.for([-1, 2, 1.5, Number.NaN, 2 ** 60])('%d is no chunk of two', (index) => {
    expect(kindOf(() => spanOf({ bytes: 20, chunkBytes: 10 }, index))).toBe('! bad-request')
  })

  it('are missing exactly where none was received, and a tus client goes on at the first gap', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.infiniteStream(fc.boolean()), (bytes, coins) => {
        const file = { bytes, chunkBytes: 10, protocol: 'chunks' as const }
        const all = Array.from({ length: Math.ceil(bytes / 10) }, (_, index) => index)
        const there = new Set(all.filter(() => coins.next().value))
        const digest = parseDigest('0'.repeat(64))
        const pieces = all.filter((index) => there.has(index)).map((index) => ({ ...spanOf(file, index), digest }))
        const missing = all.filter((index) => !there.has(index))
        expect(missingChunks(file, pieces)).toEqual(missing)
        expect(contiguousBytes(pieces, bytes)).toBe(missing[0] === undefined ? bytes : missing[0] * 10)
        expect(kindOf(() => assertWhole(file, pieces))).toBe(missing.length === 0 ? 'undefined' : '! conflict')
      }),
    )
  })

  it('that a client put into the store count where none was acknowledged, and only whole ones', () => {
    const part = fc.record({ offset: fc.integer({ min: 0, max: 120 }), bytes: fc.integer({ min: 0, max: 15 }) })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.infiniteStream(fc.boolean()),
        fc.array(part),
        (bytes, coins, odd) => {
          const file = { bytes, chunkBytes: 10 }
          const all = Array.from({ length: Math.ceil(bytes / 10) }, (_, index) => spanOf(file, index))
          const digest = parseDigest('0'.repeat(64))
          const pieces = all.filter(() => coins.next().value).map((span) => ({ ...span, digest }))
          const put = [...odd, ...all.filter(() => coins.next().value)]
          const sent = [...new Map(put.map((one) => [one.offset, one])).values()]
          const merged = mergeSent(file, pieces, sent)
          const isPart = ({ offset, bytes: length }: { offset: number; bytes: number }) =>
            all.some((span) => span.offset === offset && span.bytes === length)
          expect(merged.filter((one) => 'digest' in one)).toEqual(pieces)
          expect(merged.every(isPart)).toBe(true)
          const offsets = merged.map(({ offset }) => offset)
          expect(offsets).toEqual(
            [...new Set([...pieces, ...sent.filter(isPart)].map(({ offset }) => offset))].sort((a, b) => a - b),
          )
        },
      ),
    )
  })
})
