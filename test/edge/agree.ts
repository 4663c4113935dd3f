/** Asks an edge that tells its key, in `X-Key` as `[key]`, for every URL form with the thousand header sets, and compares. */
import { Agent, request } from 'node:http'
import { expect } from 'vitest'
import { edgeKey } from '../../edge/generate/key.ts'
import { ODD } from '../../edge/generate/program.ts'
import { type HeaderSet, SOME_HASH, tails, thousandSets } from './header-sets.ts'

/** fetch would add headers of its own. */
export const get = (
  url: string,
  headers: HeaderSet,
  agent?: Agent,
): Promise<{ status: number; headers: Record<string, unknown> }> =>
  new Promise((resolve, reject) => {
    request(url, { headers, ...(agent && { agent }) }, (response) => {
      response.resume()
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }))
    })
      .once('error', reject)
      .end()
  })

export const agree = async (url: string): Promise<void> => {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  // Each set asks for a form in turn, so that every form meets every kind of set.
  const asked = thousandSets.flatMap((set, at) =>
    [0, 7, 14].map((shift) => ({ set, path: `/i/${SOME_HASH}/${tails[(at + shift) % tails.length]}` })),
  )
  const answers = await Promise.all(
    asked.map(async ({ set, path }) => ({ set, path, key: (await get(url + path, set, agent)).headers['x-key'] })),
  )
  agent.destroy()
  const wrong = answers.filter(({ set, path, key }) => told(String(key)) !== edgeKey(path, (name) => set[name]?.trim()))
  expect(wrong.slice(0, 5)).toEqual([])
  expect(answers).toHaveLength(3000)
  // The keys are worth comparing: there are many.
  expect(new Set(answers.map(({ key }) => key)).size).toBeGreaterThan(100)
}

/** undefined for a key that says to pass the request on. */
const told = (header: string): string | undefined => (header.includes(ODD) ? undefined : header.slice(1, -1))
