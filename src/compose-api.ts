/** The API put together: every area's routes over the engines that `compose.ts` opened. */
import type { Logger } from 'pino'
import type { Config } from '../config/environment.ts'
import { LADDER, NEGOTIATION } from '../config/ladder.ts'
import { PRESETS } from '../config/presets.ts'
import type { Analytics } from './analytics/analytics.ts'
import { createApp } from './app.ts'
import type { VariantStore } from './blobs/store.ts'
import { composeAnalytics } from './compose-analytics.ts'
import type { Blobs } from './compose-blobs.ts'
import { composeChallenges, composeClaims } from './compose-claims.ts'
import { createHealthChecks } from './compose-health.ts'
import { composeJobs } from './compose-jobs.ts'
import { composeLifecycle } from './compose-lifecycle.ts'
import { composeQuota } from './compose-quota.ts'
import { composeSync } from './compose-sync.ts'
import { composeUploads } from './compose-uploads.ts'
import type { ChangeNotices, Locker, RenderLeases } from './coordination/coordination.ts'
import type { SharedRedis } from './coordination/redis.ts'
import type { VariantKey } from './core/ids.ts'
import { ORIGINAL_FORMATS } from './core/image.ts'
import { createAssetUrls } from './delivery/asset-urls.ts'
import type { Delivery } from './delivery/delivery.ts'
import { createDeliveryDocument } from './delivery/openapi.ts'
import type { SigningKeys } from './delivery/signature.ts'
import type { Secrets } from './first-start.ts'
import { createDescribeAsset } from './http/asset-document.ts'
import type { Router } from './http/context.ts'
import { createOpsRoutes } from './http/ops.ts'
import { createGuards } from './http/principal.ts'
import { createPublicUrl } from './http/public-url.ts'
import { createHeaderProber } from './imaging/header-prober.ts'
import { DEFAULT_LIMITS } from './imaging/limits.ts'
import type { RendererPool } from './imaging/pool.ts'
import type { Prober } from './imaging/renderer-port.ts'
import { createIngestRoutes } from './ingest/routes.ts'
import { createKeysRoutes } from './library/keys-routes.ts'
import { createLibraryRoutes } from './library/routes.ts'
import type { Uses } from './lifecycle/uses.ts'
import { findKeyOwner } from './metadata/api-keys.ts'
import type { Metadata } from './metadata/database.ts'
import type { Hub } from './sync/hub.ts'
import { createMetrics } from './telemetry.ts'
import { createUiRoutes } from './ui/routes.ts'

/** What `compose.ts` opened. */
export interface Engines {
  readonly metadata: Metadata
  readonly blobs: Blobs
  readonly originals: Blobs['originals']
  /** Notes reads of originals, where they have a colder class to go to. */
  readonly uses: Uses | undefined
  readonly variants: VariantStore & { readonly stats: object }
  readonly pool: RendererPool
  readonly analytics: Analytics | undefined
  readonly locker: Locker
  readonly notices: ChangeNotices
  readonly leases: RenderLeases
  /** Resolves when other instances can find what is being stored under the key. */
  readonly reachable: (key: VariantKey) => Promise<void>
  readonly redis: SharedRedis | undefined
  /** They follow `notices`; here for their numbers. */
  readonly edges: { readonly stats: () => object } | undefined
  /** Counters of what several processes share, where they share it. */
  readonly sharing: Readonly<Record<string, () => object>>
}

export interface ApiParts {
  readonly config: Config
  readonly secrets: Secrets
  readonly engines: Engines
  readonly keys: SigningKeys
  readonly delivery: Delivery
  /** Wakes streams of changes. */
  readonly hub: Hub
  readonly log: Logger
  /** Takes over what has to be closed. */
  readonly opened: AsyncDisposableStack
}

/** Width of the URLs that stand for "the picture" in an answer: a desktop article column at DPR 1. */
const DEFAULT_WIDTH = 800

export const composeApi = (parts: ApiParts): Router => {
  const { config, secrets, engines, keys, log } = parts
  const { metadata, notices } = engines
  const guards = createGuards(secrets.adminKey, (hash) => findKeyOwner(metadata.read, hash))
  const urls = createAssetUrls(keys)
  const srcsetWidths = NEGOTIATION.widthSteps
  const describe = createDescribeAsset({ urls, ladder: srcsetWidths, defaultWidth: DEFAULT_WIDTH })
  const graceMs = config.ORIEL_RESTORE_SECONDS * 1000
  const jobs = composeJobs(parts, guards)
  const { outbox } = jobs
  const lifecycle = composeLifecycle(parts, { guards, describe, outbox, graceMs })
  const quota = composeQuota(config, engines.redis)
  const prober = createHeaderProber(engines.pool, { ...DEFAULT_LIMITS, maxPixels: config.ORIEL_MAX_PIXELS })
  const ingest = createIngest(parts, prober, { guards, describe, quota, outbox })
  const challenges = composeChallenges(secrets)
  const claims = composeClaims(engines, { guards, quota, describe, challenges, ingest })
  const uploads = composeUploads(parts, { commit: ingest.commit, guards, describe, quota })
  const presets = new Set(Object.keys(PRESETS))
  const library = createLibraryRoutes({
    metadata,
    notices,
    outbox,
    guards,
    quota,
    challenges,
    describe,
    urls,
    ladder: LADDER,
    srcsetWidths,
    defaultWidth: DEFAULT_WIDTH,
    presets,
  })
  const analytics = composeAnalytics(engines, guards)
  const metrics = createMetrics([
    ...statsOf(parts),
    ...analytics.stats,
    ...claims.stats,
    { area: 'quota', read: () => ({ ...quota.stats }) },
    ...lifecycle.stats,
    ...jobs.stats,
    ...ingestStats(ingest, prober.stats),
    ...uploads.stats,
  ])
  return createApp(
    {
      assets: [ingest.routes, claims.routes, library, lifecycle.assetRoutes],
      internal: {
        '/internal/keys': createKeysRoutes({ metadata, guards }),
        '/internal/jobs': jobs.routes,
        ...lifecycle.internal,
      },
      root: [
        createOpsRoutes(createHealthChecks(engines), metrics.registry),
        ...uploads.routes,
        createUiRoutes(),
        createDeliveryDocument(),
        composeSync(parts, { guards, describe }),
        ...analytics.routes,
      ],
    },
    {
      metrics,
      log,
      publicUrl: createPublicUrl({ configured: config.ORIEL_PUBLIC_URL, trustProxy: config.ORIEL_TRUST_PROXY === '1' }),
    },
  )
}

type IngestRoutes = ReturnType<typeof createIngestRoutes>
type IngestParts = Pick<Parameters<typeof createIngestRoutes>[0], 'guards' | 'describe' | 'quota' | 'outbox'>

const createIngest = ({ config, engines }: ApiParts, prober: Prober, shared: IngestParts): IngestRoutes =>
  createIngestRoutes(
    {
      ...engines,
      ...shared,
      prober,
      policy: {
        formats: ORIGINAL_FORMATS,
        maxSide: DEFAULT_LIMITS.maxSide,
        maxPixels: config.ORIEL_MAX_PIXELS,
        maxPages: DEFAULT_LIMITS.maxFrames,
      },
      defaultVisibility: config.ORIEL_DEFAULT_VISIBILITY,
      newScan: config.ORIEL_SCAN === 'off' ? 'none' : 'pending',
    },
    { maxUploadBytes: config.ORIEL_MAX_UPLOAD, maxUploads: config.ORIEL_MAX_UPLOADS_AT_ONCE },
  )

const ingestStats = ({ stats }: IngestRoutes, headers: object) => [
  { area: 'headers', read: () => ({ ...headers }) },
  { area: 'uploads', read: () => ({ ...stats.uploads, ...stats.admission }) },
  { area: 'commits', read: () => ({ ...stats.commits }) },
]

const statsOf = ({
  delivery,
  hub,
  engines: { metadata, pool, blobs, variants, analytics, redis, edges, sharing },
}: ApiParts) => [
  { area: 'delivery', read: delivery.stats },
  { area: 'sync', read: hub.stats },
  { area: 'renderers', read: () => ({ ...pool.stats }) },
  { area: 'variants', read: () => ({ ...variants.stats }) },
  ...blobs.stats,
  ...(redis ? [{ area: 'redis', read: redis.stats }] : []),
  ...(edges ? [{ area: 'edges', read: () => ({ ...edges.stats() }) }] : []),
  { area: 'metadata', read: metadata.stats },
  ...Object.entries(sharing).map(([area, stats]) => ({ area, read: () => ({ ...stats() }) })),
  ...(analytics ? [{ area: 'analytics', read: () => ({ ...analytics.stats }) }] : []),
]
