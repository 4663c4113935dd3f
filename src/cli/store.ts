/** Chunks straight into the server's store, by requests that the server signs a page at a time. Where that does not work, they go to the server. */
import { z } from 'zod'
import { type Client, NoAnswer, type SignedPut } from './client.ts'
import { putCounted } from './counted.ts'
import type { FilePart } from './file-part.ts'

export const PartsSchema = z.object({
  parts: z.array(
    z.object({
      chunk: z.int().nonnegative(),
      url: z.url({ protocol: /^https?$/ }),
      headers: z.record(z.string(), z.string()),
    }),
  ),
  parts_expire_at: z.iso.datetime(),
})
export type PartsPage = z.infer<typeof PartsSchema>

/** A request is not begun that expires within this: 64 MiB, the largest chunk, at 1 MB/s. */
const MARGIN_MS = 64_000

/** Puts in a row that may fail before a store that has taken some is left: a cut line ends all of a file's four at once. */
const MAX_FAILURES = 5

/** What is known of the server's store after the files so far: each of a thousand need not find out that it is out of reach. */
export interface Reach {
  /** All that follows goes to the server. */
  isLost(): boolean
  tell(taken: boolean): void
}

/** One that never took anything is left at its first failure. */
export const createReach = (): Reach => {
  let [failures, taken] = [0, false]
  return {
    isLost: () => failures >= (taken ? MAX_FAILURES : 1),
    tell: (now) => {
      taken ||= now
      failures = now ? 0 : failures + 1
    },
  }
}

export interface Store {
  isOpen(): boolean
  /** Puts chunk `n`. @returns whether the store took it; else it is to be sent to the server. @throws FileFault; the signal's reason. */
  put(n: number, file: FilePart, onSent: (bytes: number) => void): Promise<boolean>
}

export interface StoreOptions {
  readonly client: Client
  readonly reach: Reach
  /** Of the session. */
  readonly id: string
  /** What is signed already; `ask` where it is not known whether the server signs any; undefined where it does not. */
  readonly first: PartsPage | 'ask' | undefined
}

export const openStore = ({ client, reach, id, first }: StoreOptions, signal: AbortSignal): Store => {
  let signed = new Map<number, SignedPut>()
  let expiresAt = 0
  let signs = first !== undefined
  const isOpen = () => signs && !reach.isLost()
  const take = ({ parts, parts_expire_at }: PartsPage): void => {
    signed = new Map(parts.map(({ chunk, url, headers }) => [chunk, { url, headers }]))
    expiresAt = Date.parse(parts_expire_at)
  }
  if (first !== undefined && first !== 'ask') take(first)

  const ask = async (n: number): Promise<void> => {
    const path = `/uploads/${encodeURIComponent(id)}/parts?from=${n}`
    const answer = await client.call({ method: 'GET', path }, signal).catch((error: unknown) => {
      if (error instanceof NoAnswer) return undefined
      throw error
    })
    const page = answer?.status === 200 ? PartsSchema.safeParse(answer.body).data : undefined
    if (page) take(page)
    else signs = false
  }

  const find = async (n: number): Promise<SignedPut | undefined> => {
    if (isOpen() && (!signed.has(n) || Date.now() > expiresAt - MARGIN_MS)) await ask(n)
    return isOpen() ? signed.get(n) : undefined
  }
  // One after the other: chunks are sent side by side, and a page serves them all.
  let turn: Promise<unknown> = Promise.resolve()
  return {
    isOpen,
    put: async (n, file, onSent) => {
      const found = turn.then(() => find(n))
      turn = found.catch(() => undefined)
      const request = await found
      if (!request) return false
      const taken = await putCounted(client, request, file, onSent, signal)
      reach.tell(taken)
      return taken
    },
  }
}
