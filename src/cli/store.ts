/** Chunks straight into the server's store, by requests that the server signs a page at a time. Where that does not work, they go to the server. */
import { z } from 'zod'
import { type Client, NoAnswer, type SignedPut } from './client.ts'

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

export interface Store {
  /** The request that puts chunk `n`. Undefined: send it to the server. */
  find(n: number): Promise<SignedPut | undefined>
  /** The store failed: all that follows goes to the server. */
  leave(): void
}

/** @param first what is signed already; `ask` where it is not known whether the server signs any; undefined where it does not. */
export const openStore = (
  client: Client,
  id: string,
  first: PartsPage | 'ask' | undefined,
  signal: AbortSignal,
): Store => {
  let signed = new Map<number, SignedPut>()
  let expiresAt = 0
  let open = first !== undefined
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
    else open = false
  }

  const find = async (n: number): Promise<SignedPut | undefined> => {
    if (open && (!signed.has(n) || Date.now() > expiresAt - MARGIN_MS)) await ask(n)
    return open ? signed.get(n) : undefined
  }
  // One after the other: chunks are sent side by side, and a page serves them all.
  let turn: Promise<unknown> = Promise.resolve()
  return {
    find: (n) => {
      const found = turn.then(() => find(n))
      turn = found.catch(() => undefined)
      return found
    },
    leave: () => {
      open = false
    },
  }
}
