import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Admission, type Leave } from '../../src/imaging/admission.ts'

const OPTIONS = { places: 2, runningCost: 10, waiting: 3, waitingCost: 20, costPerSecond: 1 }
const patient = new AbortController().signal

describe('admission', () => {
  it('hands a freed place to the head of the line', async () => {
    const admission = new Admission(OPTIONS)
    const order: string[] = []
    const first = await admission.enter(1, patient)
    await admission.enter(1, patient)
    const waiting = ['a', 'b'].map((name) =>
      admission.enter(1, patient).then((leave) => [order.push(name), leave] as const),
    )
    expect([admission.running, admission.waiting]).toEqual([2, 2])
    first()
    first()
    const [, leave] = (await waiting[0]) ?? []
    expect([order, admission.running, admission.waiting]).toEqual([['a'], 2, 1])
    leave?.()
    await waiting[1]
    expect(order).toEqual(['a', 'b'])
  })

  it('refuses at once when the line is full, and says when to come back', async () => {
    const admission = new Admission(OPTIONS)
    for (const cost of [5, 5]) await admission.enter(cost, patient)
    const line = [4, 4, 4].map((cost) => admission.enter(cost, patient))
    const refused = admission.enter(1, patient)
    await expect(refused).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: 11 })
    admission.close()
    for (const waiting of line) await expect(waiting).rejects.toMatchObject({ kind: 'busy' })
    await expect(admission.enter(1, patient)).rejects.toMatchObject({ kind: 'busy' })
  })

  it('bounds what waits by cost too, but never refuses the only one in line', async () => {
    const admission = new Admission(OPTIONS)
    await admission.enter(10, patient)
    const dear = admission.enter(1000, patient)
    await expect(admission.enter(1, patient)).rejects.toMatchObject({ kind: 'busy' })
    expect([admission.waiting, admission.waitingCost]).toEqual([1, 1000])
    admission.close()
    await expect(dear).rejects.toMatchObject({ kind: 'busy' })
  })

  it('lets a job dearer than everything run alone', async () => {
    const admission = new Admission(OPTIONS)
    const leave = await admission.enter(1000, patient)
    const small = admission.enter(1, patient)
    expect([admission.running, admission.waiting]).toEqual([1, 1])
    leave()
    await small
    expect(admission.running).toBe(1)
  })

  it('takes whoever gives up out of the line, and lets those behind move up', async () => {
    const admission = new Admission(OPTIONS)
    await admission.enter(5, patient)
    const gone = new AbortController()
    const dear = admission.enter(9, gone.signal)
    const cheap = admission.enter(5, patient)
    gone.abort(new Error('left'))
    await expect(dear).rejects.toThrow('left')
    await cheap
    expect([admission.running, admission.waiting, admission.waitingCost]).toEqual([2, 0, 0])
  })

  it('never runs more than its bounds, and lets everyone in who may wait', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 40 }), async (costs) => {
        const admission = new Admission({ ...OPTIONS, waiting: 100, waitingCost: 1e6 })
        const run = async (cost: number): Promise<void> => {
          const leave: Leave = await admission.enter(cost, patient)
          expect(admission.running).toBeLessThanOrEqual(2)
          expect(admission.running === 1 || admission.runningCost <= 10).toBe(true)
          await Promise.resolve()
          leave()
        }
        await Promise.all(costs.map(run))
        expect([admission.running, admission.runningCost, admission.waiting, admission.waitingCost]).toEqual([
          0, 0, 0, 0,
        ])
      }),
      { numRuns: 50 },
    )
  })
})
