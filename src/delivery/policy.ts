/** A policy: one signed grant from which a page builds a whole `srcset` (CONTRACT §2). What it allows, and the check. */
import { z } from 'zod'
import { AppError } from '../core/errors.ts'
import { type Digest, quote } from '../core/ids.ts'
import { MAX_SIDE, parseFormat } from './options.ts'
import type { RawQuery } from './query.ts'
import { type FormatAsked, OPTION_NAMES } from './transform.ts'

const width = z.int().min(1).max(MAX_SIDE)

/**
 * `h` the hash; `w` least and greatest effective width in pixels, DPR in it; `f` formats as in URLs, `auto` among them if wanted;
 * `o` the options that may be used; `exp` Unix seconds; `kid` the key it is for. Unknown members are refused: a grant that we
 * do not understand whole might mean to restrict.
 */
const POLICY = z.strictObject({
  h: z.string().regex(/^[0-9a-f]{64}$/),
  w: z
    .tuple([width, width])
    .refine(([least, greatest]) => least <= greatest, 'the least width first')
    .optional(),
  f: z
    .array(z.enum(['avif', 'webp', 'jpg', 'jpeg', 'png', 'gif', 'auto']))
    .min(1)
    .optional(),
  o: z.array(z.enum(OPTION_NAMES)).optional(),
  exp: z.int().min(0),
  kid: z.string().optional(),
})

export type Policy = Readonly<z.output<typeof POLICY>>

/**
 * Without `o`: the options that choose among sizes and encodings of the whole picture. A crop, a focal point with `cover`, or
 * another page would show parts in more detail than `w` grants, so they have to be granted by name.
 */
const OPTIONS_BY_DEFAULT: readonly string[] = ['dpr', 'q']

/** @param pol base64url JSON whose signature was verified. @throws AppError `bad-request` saying what is wrong with it. */
export const parsePolicy = (pol: string): Policy => {
  const judged = POLICY.safeParse(readJson(pol))
  if (judged.success) return judged.data
  const faults = judged.error.issues.map(({ path, message }) => `${path.join('.') || 'pol'}: ${message}`)
  throw new AppError('bad-request', `the policy is malformed: ${faults.join('; ')}`)
}

const readJson = (pol: string): unknown => {
  try {
    return JSON.parse(Buffer.from(pol, 'base64url').toString('utf8'))
  } catch (cause) {
    throw new AppError('bad-request', `the policy is not base64url JSON: ${quote(pol)}`, { cause })
  }
}

/** What a request asks for, as far as a policy cares. */
export interface GrantRequest {
  readonly digest: Digest
  readonly formatAsked: FormatAsked
  /** The URL's options as sent; those that a preset brings are the operator's, not the client's. */
  readonly query: RawQuery
}

/**
 * The checks that need no picture. (A policy grants variants only; the routes refuse it for the original.)
 * @throws AppError `forbidden` naming what the policy does not grant.
 */
export const assertGranted = (policy: Policy, { digest, formatAsked, query }: GrantRequest): void => {
  if (policy.h !== digest) throw new AppError('forbidden', `the policy is for another image than ${digest}`)
  if (policy.f && !policy.f.map(parseFormat).includes(formatAsked))
    throw new AppError('forbidden', `the policy grants ${policy.f.join(', ')}, not ${formatAsked}`)
  const allowed: readonly string[] = policy.o ?? OPTIONS_BY_DEFAULT
  for (const { name } of query.options)
    if (!allowed.includes(name)) throw new AppError('forbidden', `the policy does not grant the option ${quote(name)}`)
}

/** @param effectiveWidth of the planned variant. @throws AppError `forbidden` outside the granted range. */
export const assertWidthGranted = (policy: Policy, effectiveWidth: number): void => {
  if (!policy.w) return
  const [least, greatest] = policy.w
  if (effectiveWidth < least || effectiveWidth > greatest)
    throw new AppError('forbidden', `the policy grants widths ${least} to ${greatest}, not ${effectiveWidth}`)
}
