/** A client that does as it is told: to come back later. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'

/** @param later statuses that mean it, which say after how many seconds. @returns the first answer of another status. */
export const comeBack = async (ask: () => Promise<Response>, ...later: readonly number[]): Promise<Response> => {
  for (;;) {
    const answer = await ask()
    if (!later.includes(answer.status)) return answer
    await answer.arrayBuffer()
    const seconds = Number(answer.headers.get('retry-after'))
    expect(seconds).toBeGreaterThan(0)
    await sleep(seconds * 1000)
  }
}
