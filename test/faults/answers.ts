/** One request of the load and what became of it: right, refused as it should be refused, or wrong. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'

/** Nobody is left waiting for longer than this: it is past every limit of the server added up, the client gives up, and it counts as wrong. */
export const HANG_MS = 20_000

export interface Colour {
  readonly r: number
  readonly g: number
  readonly b: number
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
}

export type Outcome =
  | { readonly kind: 'answer'; readonly answer: Answer; readonly ms: number }
  /** No connection, or one that broke off: what a client sees of an origin that is killed. */
  | { readonly kind: 'broken'; readonly why: string; readonly ms: number }
  | { readonly kind: 'hung'; readonly ms: number }

/** Never rejects. */
export const ask = async (url: string, init: RequestInit = {}): Promise<Outcome> => {
  const from = performance.now()
  const limit = AbortSignal.timeout(HANG_MS)
  try {
    const response = await fetch(url, { ...init, signal: limit })
    const body = Buffer.from(await response.arrayBuffer())
    const answer = { status: response.status, headers: response.headers, body }
    return { kind: 'answer', answer, ms: performance.now() - from }
  } catch (error) {
    const ms = performance.now() - from
    if (limit.aborted) return { kind: 'hung', ms }
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    return { kind: 'broken', why: cause, ms }
  }
}

/** As a client that is told to come back, which does so for two minutes. */
export const askUntilTaken = async (url: string, init: RequestInit = {}): Promise<Outcome> => {
  for (const until = performance.now() + 120_000; ; ) {
    const outcome = await ask(url, init)
    const seconds = outcome.kind === 'answer' && Number(outcome.answer.headers.get('retry-after'))
    if (!seconds || performance.now() > until) return outcome
    await sleep(seconds * 1000)
  }
}

/** @returns what is wrong with a refusal: it must be 5xx, a problem document, and say when to come back. */
export const wrongRefusal = ({ status, headers, body }: Answer): string | undefined => {
  const said = `${status} ${body.toString('utf8', 0, 200)}`
  if (status < 500) return said
  if (headers.get('content-type') !== 'application/problem+json') return `no problem document: ${said}`
  return headers.get('retry-after') === null ? `no Retry-After: ${said}` : undefined
}

/** Judges pictures; one that was judged before is known by its digest. */
export const createPictureJudge = () => {
  const right = new Map<string, Set<string>>()
  return {
    /** @returns what is wrong with a variant: its body is not what its header says, or shows another picture. */
    variant: async (path: string, colour: Colour, { headers, body }: Answer): Promise<string | undefined> => {
      const digest = createHash('sha256').update(body).digest('base64')
      const told = headers.get('repr-digest')
      if (told !== `sha-256=:${digest}:`) return `${path}: Repr-Digest ${told}, the body has ${digest}`
      const known = right.get(path) ?? new Set()
      right.set(path, known)
      if (known.has(digest)) return undefined
      const { channels } = await sharp(body).stats()
      const [r, g, b] = channels.map(({ mean }) => Math.round(mean))
      if (r === undefined || g === undefined || b === undefined) return `${path}: has no three colours`
      if (Math.max(Math.abs(r - colour.r), Math.abs(g - colour.g), Math.abs(b - colour.b)) > COLOUR_SLACK)
        return `${path}: shows ${r},${g},${b} instead of ${colour.r},${colour.g},${colour.b}`
      known.add(digest)
      return undefined
    },
    original: (path: string, hash: string, { body }: Answer): string | undefined => {
      const digest = createHash('sha256').update(body).digest('hex')
      return digest === hash ? undefined : `${path}: the original's bytes have the hash ${digest}`
    },
  }
}

/** Of 255: lossy codecs at their default quality shift a plain colour by 1–3. */
const COLOUR_SLACK = 8
