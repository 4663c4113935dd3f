import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createSingleFlight } from '../../src/delivery/singleflight.ts'

const forever = new AbortController().signal

describe('single flight', () => {
  it('runs one piece of work for everyone who asks while it is under way', async () => {
    const flights = createSingleFlight<string, number>()
    let runs = 0
    const work = async () => {
      runs += 1
      await sleep(20)
      return 7
    }
    const answers = await Promise.all(Array.from({ length: 50 }, () => flights.run('k', work, forever)))
    expect(runs).toBe(1)
    expect(answers.map((answer) => answer.value)).toEqual(Array(50).fill(7))
    expect(answers.filter((answer) => answer.joined)).toHaveLength(49)
    expect(flights.size).toBe(0)
  })

  it('goes on for the others when the first caller leaves', async () => {
    const flights = createSingleFlight<string, string>()
    const first = new AbortController()
    let told = false
    const work = async (nobodyWaits: AbortSignal) => {
      nobodyWaits.addEventListener('abort', () => {
        told = true
      })
      await sleep(30)
      return 'made'
    }
    const leaving = flights.run('k', work, first.signal)
    const staying = flights.run('k', work, forever)
    first.abort(new Error('left'))
    await expect(leaving).rejects.toThrow('left')
    expect((await staying).value).toBe('made')
    expect(told).toBe(false)
  })

  it('tells the work when the last caller has left, and lets a newcomer start afresh', async () => {
    const flights = createSingleFlight<string, string>()
    const only = new AbortController()
    const { promise: abandoned, resolve } = Promise.withResolvers<void>()
    const leaving = flights.run(
      'k',
      async (nobodyWaits) => {
        nobodyWaits.addEventListener('abort', () => resolve())
        await abandoned
        return 'late'
      },
      only.signal,
    )
    only.abort(new Error('left'))
    await expect(leaving).rejects.toThrow('left')
    await abandoned
    expect((await flights.run('k', async () => 'fresh', forever)).value).toBe('fresh')
  })

  it('gives a failure to everyone who waits, and forgets it', async () => {
    const flights = createSingleFlight<string, string>()
    const fail = async () => {
      await sleep(5)
      throw new Error('broken')
    }
    const both = await Promise.allSettled([flights.run('k', fail, forever), flights.run('k', fail, forever)])
    expect(both.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected'])
    expect((await flights.run('k', async () => 'mended', forever)).value).toBe('mended')
  })
})
