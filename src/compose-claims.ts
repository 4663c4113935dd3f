/** Claims put together: challenges under a key that all instances have, proofs over the store, assets by the upload's commit. */
import { createHmac } from 'node:crypto'
import type { Engines } from './compose-api.ts'
import type { Secrets } from './first-start.ts'
import type { DescribeAsset } from './http/asset-document.ts'
import type { Router } from './http/context.ts'
import type { Guards } from './http/principal.ts'
import type { Quota } from './http/quota.ts'
import { createAdopt } from './ingest/adopt.ts'
import type { createIngestRoutes } from './ingest/routes.ts'
import { type Challenges, createChallenges } from './library/challenge.ts'
import { createClaimRoutes } from './library/claim-routes.ts'
import { createProver } from './library/proof.ts'
import type { StatsSource } from './telemetry.ts'

/** Derived, so that what is signed here can be passed off as nothing else that the same keys sign (NIST SP 800-108). */
export const composeChallenges = ({ signingKeys: [first, ...rest] }: Pick<Secrets, 'signingKeys'>): Challenges => {
  const derive = ({ secret }: { readonly secret: string }) =>
    createHmac('sha256', secret).update('oriel: challenges of a proof of possession').digest()
  return createChallenges([derive(first), ...rest.map(derive)])
}

interface Shared {
  readonly guards: Guards
  readonly quota: Quota
  readonly describe: DescribeAsset
  readonly challenges: Challenges
  readonly ingest: Pick<ReturnType<typeof createIngestRoutes>, 'commit'>
}

/** @returns the router to be mounted where assets are, and its counters. */
export const composeClaims = (
  { metadata, originals }: Pick<Engines, 'metadata' | 'originals'>,
  { ingest, ...shared }: Shared,
): { readonly routes: Router; readonly stats: readonly StatsSource[] } => {
  const adopt = createAdopt(ingest.commit, metadata)
  const { routes, stats } = createClaimRoutes({ ...shared, metadata, prover: createProver(originals), adopt })
  return {
    routes,
    stats: [
      { area: 'claims', read: () => ({ ...stats.claims }) },
      { area: 'proofs', read: () => ({ ...stats.proofs }) },
    ],
  }
}
