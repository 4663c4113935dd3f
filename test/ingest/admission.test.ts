import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import type { OwnerId } from '../../src/core/ids.ts'
import { createAdmission } from '../../src/ingest/admission.ts'

const owner = (name: string) => name as OwnerId
const kindOf = (work: () => Disposable): string | Disposable => {
  try {
    return work()
  } catch (error) {
    return error instanceof AppError ? error.kind : 'another'
  }
}

describe('admission of uploads', () => {
  it('leaves a quarter of the places to others than the greediest', () => {
    const admission = createAdmission({ maxUploads: 8, maxBytesInFlight: 800 })
    const held = Array.from({ length: 6 }, () => admission.enter(owner('greedy'), 1))
    expect(kindOf(() => admission.enter(owner('greedy'), 1))).toBe('rate-limited')
    held.push(admission.enter(owner('other'), 1), admission.enter(owner('third'), 1))
    expect(kindOf(() => admission.enter(owner('fourth'), 1))).toBe('busy')
    expect(admission.stats).toEqual({ running: 8, bytesInFlight: 8, refused: 2, refusedOwners: 1 })
    held[0]?.[Symbol.dispose]()
    expect(typeof kindOf(() => admission.enter(owner('fourth'), 1))).toBe('object')
  })

  it('leaves a quarter of the bytes likewise, and lets the first of an idle server in whatever its size', () => {
    const admission = createAdmission({ maxUploads: 100, maxBytesInFlight: 100 })
    using large = admission.enter(owner('greedy'), 1000)
    expect(large).toBeDefined()
    expect(kindOf(() => admission.enter(owner('other'), 1))).toBe('busy')
    const fair = createAdmission({ maxUploads: 100, maxBytesInFlight: 100 })
    using _most = fair.enter(owner('greedy'), 75)
    expect(kindOf(() => fair.enter(owner('greedy'), 1))).toBe('rate-limited')
    expect(typeof kindOf(() => fair.enter(owner('other'), 25))).toBe('object')
  })

  it('counts what is held, whoever comes and goes, and is empty in the end', () => {
    const step = fc.record({
      who: fc.constantFrom('a', 'b', 'c'),
      bytes: fc.integer({ min: 0, max: 60 }),
      leave: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (steps, maxUploads) => {
        const admission = createAdmission({ maxUploads, maxBytesInFlight: 100 })
        const held: { readonly who: string; readonly bytes: number; readonly place: Disposable }[] = []
        for (const { who, bytes, leave } of steps) {
          if (leave) held.shift()?.place[Symbol.dispose]()
          const place = kindOf(() => admission.enter(owner(who), bytes))
          if (typeof place !== 'string') held.push({ who, bytes, place })
          const { running, bytesInFlight } = admission.stats
          expect(running).toBe(held.length)
          expect(bytesInFlight).toBe(held.reduce((sum, one) => sum + one.bytes, 0))
          expect(running).toBeLessThanOrEqual(maxUploads)
          expect(bytesInFlight).toBeLessThanOrEqual(100)
          for (const name of ['a', 'b', 'c'])
            expect(held.filter((one) => one.who === name).length).toBeLessThanOrEqual(Math.ceil(maxUploads * 0.75))
        }
        for (const { place } of held) place[Symbol.dispose]()
        expect(admission.stats).toMatchObject({ running: 0, bytesInFlight: 0 })
      }),
    )
  })
})
