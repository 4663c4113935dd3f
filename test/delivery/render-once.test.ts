import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RenderClaim, RenderLease, RenderOutcome } from '../../src/coordination/coordination.ts'
import { AppError } from '../../src/core/errors.ts'
import { createRenderOnce } from '../../src/delivery/render-once.ts'
import { key } from './picture.ts'

const forever = new AbortController().signal
const undecodable = { kind: 'undecodable', detail: 'torn' } as const

/** Leases that answer from a list, and then `alone`; what they were told is noted. */
const scripted = (claims: readonly RenderClaim[]) => {
  const left = [...claims]
  return { claim: async (): Promise<RenderClaim> => left.shift() ?? { kind: 'alone' } }
}
const leaseNoting = (noted: RenderOutcome[]): RenderLease => ({
  token: 1,
  finish: async (outcome) => void noted.push(outcome),
})
const held = (outcome: RenderOutcome | undefined): RenderClaim => ({ kind: 'held', arrival: Promise.resolve(outcome) })

const build = (claims: readonly RenderClaim[], reachable = Promise.resolve(), maxWaitMs = 60_000) => {
  const done: string[] = []
  const once = createRenderOnce({ leases: scripted(claims), reachable: () => reachable, maxWaitMs })
  const run = (found?: string, render: () => Promise<string> = async () => 'rendered') =>
    once(
      key,
      () => {
        done.push('render')
        return render()
      },
      async () => {
        done.push('look')
        return found
      },
      forever,
    )
  return { done, run, once }
}

describe('one render among instances', () => {
  it.for([
    ['renders with the lease', [], 'granted', false, undefined, ['render'], 'rendered'],
    ['looks again where somebody rendered a moment ago', [], 'granted', true, 'found', ['look'], 'found'],
    ['renders what is then not there', [], 'granted', true, undefined, ['look', 'render'], 'rendered'],
    ['reads what another stored', [held({ kind: 'stored' })], 'alone', false, 'found', ['look'], 'found'],
    [
      'renders what another stored out of reach',
      [held({ kind: 'stored' })],
      'alone',
      false,
      undefined,
      ['look', 'render'],
      'rendered',
    ],
    [
      'takes over from a holder that failed',
      [held({ kind: 'failed' })],
      'granted',
      false,
      undefined,
      ['render'],
      'rendered',
    ],
    [
      'takes over from a holder that died',
      [held(undefined), held(undefined)],
      'granted',
      false,
      undefined,
      ['render'],
      'rendered',
    ],
    ['renders by itself when nothing is shared', [held(undefined)], 'alone', false, undefined, ['render'], 'rendered'],
  ] as const)('%s', async ([, before, last, renderedBefore, found, steps, answer]) => {
    const noted: RenderOutcome[] = []
    const granted: RenderClaim = { kind: 'granted', lease: leaseNoting(noted), renderedBefore }
    const { done, run } = build(last === 'granted' ? [...before, granted] : before)
    expect(await run(found)).toBe(answer)
    expect(done).toEqual(steps)
    await new Promise(setImmediate)
    expect(noted).toEqual(last === 'granted' ? [{ kind: 'stored' }] : [])
  })

  it('does not hold up its own answer until others can find it, but tells them only then', async () => {
    const noted: RenderOutcome[] = []
    const reachable = Promise.withResolvers<void>()
    const { run } = build([{ kind: 'granted', lease: leaseNoting(noted), renderedBefore: false }], reachable.promise)
    expect(await run()).toBe('rendered')
    expect(noted).toEqual([])
    reachable.resolve()
    await new Promise(setImmediate)
    expect(noted).toEqual([{ kind: 'stored' }])
  })

  it.for([
    [new AppError('undecodable', 'torn'), undecodable],
    [new AppError('busy', 'queue full'), { kind: 'failed' }],
  ] as const)('passes on what a render threw, and says it: %s', async ([error, outcome]) => {
    const noted: RenderOutcome[] = []
    const { run } = build([{ kind: 'granted', lease: leaseNoting(noted), renderedBefore: false }])
    await expect(run(undefined, () => Promise.reject(error))).rejects.toBe(error)
    expect(noted).toEqual([outcome])
  })

  it.for([undecodable, held(undecodable)] as const)('refuses what another could not decode: $kind', async (claim) => {
    const { done, run } = build([claim])
    await expect(run()).rejects.toMatchObject({ kind: 'undecodable', message: 'torn' })
    expect(done).toEqual([])
  })

  it('waits no longer than it may, then renders', async () => {
    const waits = Array.from({ length: 1_000_000 }, () => held(undefined))
    const { done, run } = build(waits, Promise.resolve(), 20)
    expect(await run()).toBe('rendered')
    expect(done).toEqual(['render'])
  })

  it('stops waiting when nobody waits for it', async () => {
    const { once } = build([{ kind: 'held', arrival: new Promise(() => {}) }])
    const left = new AbortController()
    const run = once(
      key,
      async () => 'rendered',
      async () => undefined,
      left.signal,
    )
    left.abort(new Error('all left'))
    await expect(run).rejects.toThrow('all left')
  })

  it('always answers, with at most one render, whatever the leases say', async () => {
    const outcome = fc.constantFrom<RenderOutcome | undefined>({ kind: 'stored' }, { kind: 'failed' }, undefined)
    const claim = fc.oneof(
      outcome.map(held),
      fc.boolean().map((renderedBefore): RenderClaim => ({ kind: 'granted', lease: leaseNoting([]), renderedBefore })),
      fc.constant<RenderClaim>({ kind: 'alone' }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(claim, { maxLength: 8 }), fc.boolean(), async (claims, isThere) => {
        const { done, run } = build(claims)
        expect(['found', 'rendered']).toContain(await run(isThere ? 'found' : undefined))
        expect(done.filter((step) => step === 'render').length).toBeLessThanOrEqual(1)
      }),
    )
  })
})
