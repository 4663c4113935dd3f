/** What to do with a file, and what came of it. Pure: the same facts give the same plan; the effects are in `upload-file.ts`. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Answer } from './client.ts'
import type { Fingerprint } from './fingerprint.ts'
import { problemOf } from './retry.ts'

/** What every file of a run is uploaded with. */
export interface Details {
  readonly filename: string
  readonly tags: readonly string[]
  /** Undefined: as the server does by default. */
  readonly visibility: 'public' | 'private' | undefined
}

/** Answer of `POST /assets/precheck`, as far as it matters here. */
export const KnownSchema = z.object({
  exists: z.boolean(),
  owned: z.boolean(),
  asset_id: z.string().optional(),
  size_matches: z.boolean().optional(),
  challenge: z
    .object({
      nonce: z.string(),
      ranges: z.array(z.object({ start: z.int().nonnegative(), end: z.int().nonnegative() })).optional(),
    })
    .optional(),
})
export type Known = z.infer<typeof KnownSchema>
export type Challenge = NonNullable<Known['challenge']>

export type Plan =
  | { readonly kind: 'settle'; readonly outcome: Outcome }
  /** Known to the server, not yet the caller's: prove that we have it, instead of sending it. */
  | { readonly kind: 'claim'; readonly challenge: Challenge; readonly otherwise: 'whole' | 'chunks' }
  | { readonly kind: 'whole' }
  | { readonly kind: 'chunks' }

/** `duplicate`: another file of this run has the same bytes. `planned`: a dry run would send it. */
export type Outcome =
  | { readonly status: 'uploaded'; readonly id: string; readonly url: string | undefined; readonly sent: boolean }
  | { readonly status: 'skipped'; readonly id: string | undefined }
  | { readonly status: 'duplicate'; readonly of: string }
  | { readonly status: 'planned' }
  | { readonly status: 'failed'; readonly why: string }
export type Status = Outcome['status']

export const failed = (why: string): Outcome => ({ status: 'failed', why })

/** Two chunks of the server's: below it, beginning and completing a session costs more than what a cut would lose. */
export const CHUNKS_ABOVE_BYTES = 16 * 1024 * 1024

export const planFile = (bytes: number, known: Known, dryRun: boolean): Plan => {
  if (known.owned) return { kind: 'settle', outcome: { status: 'skipped', id: known.asset_id } }
  if (dryRun) return { kind: 'settle', outcome: { status: 'planned' } }
  const way = bytes > CHUNKS_ABOVE_BYTES ? 'chunks' : 'whole'
  return known.challenge ? { kind: 'claim', challenge: known.challenge, otherwise: way } : { kind: way }
}

/**
 * The same for the same file at the same place with the same details, in this run and in any later one, so that a retry whose first
 * answer was lost makes no second asset.
 * @param generation 0, and one more each time that the server says that the asset made under the key was deleted since.
 */
export const idempotencyKey = (path: string, { sha256 }: Fingerprint, details: Details, generation: number): string => {
  const { filename, tags, visibility } = details
  const text = JSON.stringify([sha256, path, filename, tags, visibility ?? null, generation])
  return `oriel-cli-${createHash('sha256').update(text).digest('hex')}`
}

const AssetSchema = z.object({
  id: z.string(),
  hash: z.string(),
  urls: z.record(z.string(), z.string()).optional(),
})

/** @param answer 200 or 201 of an upload, a claim or a completion; anything else is the file's failure. */
export const judgeUpload = (answer: Answer, { sha256 }: Fingerprint, sent: boolean): Outcome => {
  if (answer.status !== 200 && answer.status !== 201) return failed(problemOf(answer))
  const asset = AssetSchema.safeParse(answer.body)
  if (!asset.success) return failed('the server answered with something that is no asset: is this an Oriel?')
  if (asset.data.hash !== sha256) return failed('the server has stored other bytes: the file changed while it was sent')
  return { status: 'uploaded', id: asset.data.id, url: asset.data.urls?.auto, sent }
}

/** Query of `POST /assets/upload`. */
export const detailsQuery = ({ tags, visibility }: Details): string => {
  const query = new URLSearchParams({
    ...(tags.length > 0 && { tags: tags.join(',') }),
    ...(visibility && { visibility }),
  })
  return query.size === 0 ? '' : `?${query}`
}

/** The same as members of a JSON body. */
export const detailsMembers = ({ tags, visibility }: Details) => ({
  ...(tags.length > 0 && { tags }),
  ...(visibility && { visibility }),
})
