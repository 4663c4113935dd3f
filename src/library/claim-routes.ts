/** `POST …/claim`: an asset without an upload, for who has one of these bytes already, or proves that he has the bytes. */
import { createHash } from 'node:crypto'
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Asset } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import { type Digest, parseDigest } from '../core/ids.ts'
import { DetailsPatch, type DetailsText } from '../http/asset-details.ts'
import { AssetSchema, type DescribeAsset } from '../http/asset-document.ts'
import { createRouter, type Env, problems, type Router } from '../http/context.ts'
import { IdempotencyKey } from '../http/idempotency-key.ts'
import { jsonBody } from '../http/json-body.ts'
import type { Guards } from '../http/principal.ts'
import type { Quota } from '../http/quota.ts'
import type { Metadata } from '../metadata/database.ts'
import { saveOnce } from '../metadata/once.ts'
import { findKnownContent } from '../metadata/subjects.ts'
import { type Challenges, type Claimed, equal } from './challenge.ts'
import type { Prover } from './proof.ts'

const claimRoute = createRoute({
  method: 'post',
  path: '/claim',
  tags: ['assets'],
  summary: 'Make an asset of bytes that are known, without sending them',
  description:
    'If you have a live asset with this hash, `nonce` and `proof` are not needed. Else `POST …/precheck` gives a challenge, and `proof` is the ' +
    'HMAC-SHA256, keyed by the text of its nonce, over the file, or over its `ranges` one after the other. A nonce is good once, a wrong proof costs 20 claims.',
  security: [{ bearer: [] }],
  request: {
    headers: z.object({
      'idempotency-key': IdempotencyKey,
    }),
    body: {
      required: true,
      content: {
        'application/json': {
          schema: DetailsPatch.extend({
            sha256: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in 64 lower-case hex digits'),
            size: z.int().nonnegative().openapi({ description: 'bytes' }),
            nonce: z.string().max(100).optional(),
            proof: z
              .string()
              .regex(/^[0-9a-f]{64}$/, '64 lower-case hex digits')
              .optional(),
          }),
        },
      },
    },
  },
  responses: {
    201: { description: 'made', content: { 'application/json': { schema: AssetSchema } } },
    200: { description: 'a retry: made before', content: { 'application/json': { schema: AssetSchema } } },
    ...problems(400, 401, 403, 404, 408, 410, 413, 415, 422, 429, 503),
  },
})

/** A wrong proof is a guess, or a broken client: 600 a minute are 30 of these. */
const WRONG_PROOF_COST = 20

export interface ClaimDeps {
  readonly metadata: Metadata
  readonly guards: Guards
  readonly quota: Quota
  readonly describe: DescribeAsset
  readonly challenges: Challenges
  readonly prover: Prover
  /** Makes an asset of bytes that are stored, as an upload of them would. @throws AppError `not-found` when they are not. */
  readonly adopt: (
    claim: {
      readonly digest: Digest
      readonly bytes: number
      readonly ownerId: Asset['ownerId']
      readonly details: DetailsText
      readonly idempotencyKey: string | undefined
    },
    signal: AbortSignal,
  ) => Promise<{ readonly asset: Asset; readonly created: boolean }>
}

/** To be mounted at `/assets` and `/images`; and its counters. */
export const createClaimRoutes = (deps: ClaimDeps) => {
  const { metadata, guards, quota, adopt } = deps
  const stats = { owned: 0, proved: 0, refused: 0 }
  const routes: Router = createRouter()

  routes.openapi({ ...claimRoute, middleware: [guards.caller, jsonBody] as const }, async (c) => {
    await quota.spend(c, 'claims', 1)
    const { sha256, size, nonce, proof, ...details } = c.req.valid('json')
    const { ownerId } = c.get('principal')
    const claimed = { ownerId, digest: parseDigest(sha256), bytes: size }
    const known = await findKnownContent(metadata.read, claimed.digest, ownerId)
    const owned = known?.assetId !== undefined && known.bytes === size
    if (!owned)
      try {
        await judge(deps, claimed, { nonce, proof }, c.req.raw.signal)
      } catch (error) {
        stats.refused += 1
        if (error instanceof WrongProof) await fine(c, quota)
        throw error
      }
    const idempotencyKey = c.req.valid('header')['idempotency-key']
    const { asset, created } = await adopt({ ...claimed, details: said(details), idempotencyKey }, c.req.raw.signal)
    stats[owned ? 'owned' : 'proved'] += 1
    return c.json(deps.describe(asset, c.get('publicUrl'), true), created ? 201 : 200)
  })
  return { routes, stats: { claims: stats, proofs: deps.prover.stats } }
}

class WrongProof extends AppError {
  constructor() {
    super('forbidden', 'proof: not the HMAC of these bytes under this nonce')
  }
}

/**
 * Whatever is wrong is 403. A nonce is only given out where precheck has said that the hash exists, and is checked before anything is
 * looked up, so neither the answer nor its time tells of a hash what precheck does not.
 * @throws AppError `forbidden`; `busy`; `not-found` where the bytes have gone since the challenge.
 */
const judge = async (
  { metadata, challenges, prover }: ClaimDeps,
  claimed: Claimed,
  { nonce, proof }: { readonly nonce: string | undefined; readonly proof: string | undefined },
  signal: AbortSignal,
): Promise<void> => {
  if (nonce === undefined || proof === undefined)
    throw new AppError('forbidden', 'you have no asset with this hash: send the nonce of a precheck, and the proof')
  const challenge = challenges.read(nonce, claimed, new Date())
  if (!challenge) throw new AppError('forbidden', 'nonce: not of a challenge for these bytes, or expired')
  const spend = async () => {
    const key = createHash('sha256').update(nonce).digest('hex')
    const record = { scope: 'possession' as const, ownerId: claimed.ownerId, key, fingerprint: '', answer: '' }
    await metadata
      .transaction((t) => saveOnce(t, { ...record, expiresAt: challenge.expiresAt }, new Date()))
      .catch(usedBefore)
    // Asked again: it may have waited for its turn.
    const known = await findKnownContent(metadata.read, claimed.digest, claimed.ownerId)
    if (known?.bytes !== claimed.bytes || !known.sound)
      throw new AppError('not-found', 'these bytes are no longer here: upload them')
  }
  if (!equal(await prover.prove(claimed.digest, challenge, spend, signal), proof)) throw new WrongProof()
}

const usedBefore = (error: unknown): never => {
  if (error instanceof AppError && error.kind === 'conflict')
    throw new AppError('forbidden', 'nonce: used before; precheck gives a new one')
  throw error
}

/** Where the bucket has not so much left, it says so instead. */
const fine = (c: Context<Env>, quota: Quota): Promise<void> => quota.spend(c, 'claims', WRONG_PROOF_COST)

/** Null says nothing about an asset that is being made. */
const said = (details: DetailsPatch): DetailsText =>
  Object.fromEntries(Object.entries(details).filter(([, value]) => value !== null)) as DetailsText
