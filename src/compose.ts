/** The composition root: only the `compose` files name drivers. Opens everything in order, and closes it in the reverse. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Logger } from 'pino'
import type { Config } from '../config/environment.ts'
import { LADDER, NEGOTIATION } from '../config/ladder.ts'
import { PRESETS } from '../config/presets.ts'
import { type Analytics, createAnalytics } from './analytics/analytics.ts'
import { composeApi, type Engines } from './compose-api.ts'
import { type Blobs, openBlobs } from './compose-blobs.ts'
import { openEdges } from './compose-edges.ts'
import { openShared } from './compose-shared.ts'
import { bothNotices } from './coordination/both-notices.ts'
import type { ChangeNotices } from './coordination/coordination.ts'
import { createInProcessLeases } from './coordination/in-process.ts'
import type { SharedRedis } from './coordination/redis.ts'
import { AppError } from './core/errors.ts'
import { createDelivery, type Delivery } from './delivery/delivery.ts'
import { createSharedTier, purgingNotices } from './delivery/shared-tier.ts'
import { createSigningKeys, type SigningKeys } from './delivery/signature.ts'
import { parsePresets } from './delivery/transform.ts'
import type { Secrets } from './first-start.ts'
import { problemResponse } from './http/problem.ts'
import { createRendererPool } from './imaging/pool.ts'
import { createUses } from './lifecycle/uses.ts'
import { lockFolder } from './metadata/folder-lock.ts'
import { findDeliverySubject } from './metadata/subjects.ts'
import { createHub } from './sync/hub.ts'

export interface OrielOrigin {
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void
  /** Ends what has no end of its own, so that it can be waited for: streams of changes. */
  drain(): void
  /** To be called when no request is in flight any more. */
  close(): Promise<void>
}

/** @throws when an engine cannot be opened; what was opened before it is closed again. */
export const compose = async (config: Config, secrets: Secrets, log: Logger): Promise<OrielOrigin> => {
  await using opened = new AsyncDisposableStack()
  const engines = await openEngines(config, log, opened)
  const keys = createSigningKeys(secrets.signingKeys)
  const delivery = opened.use(openDelivery(config, engines, keys, log))
  const hub = opened.use(createHub(engines))
  const app = composeApi({ config, secrets, engines, keys, delivery, hub, log, opened })
  const fallback = getRequestListener(app.fetch, {
    // For HTTP/1.0 without Host, which is how HAProxy asks for health; URLs handed out are relative then (`public-url`).
    hostname: 'localhost',
    // Thrown before there is a request to route: a Host header that is none.
    errorHandler: () => problemResponse(new AppError('bad-request', 'the request names no valid Host'), randomUUID()),
  })
  // Behind the start: who asks before a renderer is up waits for it, everybody else is served.
  engines.pool.warm().catch((error: unknown) => log.error({ err: error }, 'no renderer could be started'))
  const toClose = opened.move()
  return {
    handle(request, response) {
      if (!request.url?.startsWith('/')) request.url = originForm(request.url ?? '')
      if (request.url.startsWith('/i/')) delivery.handle(request, response)
      else void fallback(request, response)
    },
    drain: hub.end,
    close: () => toClose.disposeAsync(),
  }
}

const openEngines = async (config: Config, log: Logger, opened: AsyncDisposableStack): Promise<Engines> => {
  const folder = config.ORIEL_DATA
  opened.use(lockFolder(folder))
  const shared = await openShared(config, log, opened)
  const blobs = await openBlobs(config, log, opened)
  const pool = opened.use(
    createRendererPool({
      renderers: config.ORIEL_RENDERERS,
      deadlineMs: config.ORIEL_RENDER_DEADLINE_MS,
      maxWaiting: config.ORIEL_RENDER_QUEUE,
      limits: { maxPixels: config.ORIEL_MAX_PIXELS },
    }),
  )
  const analytics = config.ORIEL_ANALYTICS === 'on' ? opened.use(await openAnalytics(config, log)) : undefined
  const redis =
    config.ORIEL_REDIS === undefined ? undefined : opened.use(await openSharedRedis(config.ORIEL_REDIS, log))
  const shares = shareVariants(blobs.variants, shared.notices, redis)
  return {
    ...shared,
    blobs,
    originals: blobs.originals,
    // Of nothing that lies in one place anyhow.
    uses: blobs.cold && createUses(shared.metadata),
    pool,
    analytics,
    ...shares,
    ...openEdges(config, { ...shared, notices: shares.notices }, log, opened),
  }
}

/** Loaded only here: an embedded origin needs no client. */
const openSharedRedis = async (url: string, log: Logger): Promise<SharedRedis> => {
  const { openRedis } = await import('./coordination/redis.ts')
  return openRedis({ url, onFault: (what) => log.warn({ fault: what }, 'Redis fails; serving without it') })
}

type VariantEngines = Pick<Engines, 'variants' | 'notices' | 'leases' | 'reachable' | 'redis'>

/** Variants, and what instances have to say to each other about them: over Redis too, where there is one. */
const shareVariants = (
  store: Blobs['variants'],
  notices: ChangeNotices,
  redis: SharedRedis | undefined,
): VariantEngines => {
  if (!redis)
    return {
      variants: store,
      notices,
      leases: createInProcessLeases(),
      reachable: async () => {},
      redis,
    }
  const tier = createSharedTier(store, redis.cache)
  return {
    variants: tier,
    notices: purgingNotices(bothNotices(notices, redis.notices), redis.cache),
    leases: redis.leases,
    reachable: tier.reachable,
    redis,
  }
}

/** RFC 9112 §3.2.2: a server must take `GET http://host/path` too, whatever the host; what routes see is the path. */
const originForm = (target: string): string => /^https?:\/\/[^/?#]*(\/.*)$/i.exec(target)?.[1] ?? '/'

const openAnalytics = (config: Config, log: Logger): Promise<Analytics> =>
  createAnalytics({
    dataDir: config.ORIEL_DATA,
    log,
    spoolBudgetBytes: config.ORIEL_SPOOL_BUDGET,
    ...(config.ORIEL_CLICKHOUSE !== undefined && { url: config.ORIEL_CLICKHOUSE }),
  })

/** With analytics off, events go nowhere. */
const NO_RECORDER = { prepare: () => ({}) as never, record: () => {} }

const openDelivery = (config: Config, engines: Engines, keys: SigningKeys, log: Logger): Delivery =>
  createDelivery(
    {
      findSubject: (digest) => findDeliverySubject(engines.metadata.read, digest, config.ORIEL_SCAN === 'hold'),
      notices: engines.notices,
      originals: engines.uses?.noting(engines.originals) ?? engines.originals,
      variants: engines.variants,
      leases: engines.leases,
      reachable: engines.reachable,
      renderer: engines.pool,
      recorder: engines.analytics?.recorder ?? NO_RECORDER,
      onError: (error, requestId, url) =>
        log.error({ err: error, requestId, url: url.split('?', 1)[0] }, 'image request failed'),
      onFault: (error, doing) => log.warn({ err: error }, `variant store: ${doing}`),
    },
    {
      presets: parsePresets(PRESETS),
      keys,
      negotiation: NEGOTIATION,
      ladder: LADDER,
      memoryBytes: config.ORIEL_MEMORY_CACHE,
      renderDeadlineMs: config.ORIEL_RENDER_DEADLINE_MS,
      trustProxy: config.ORIEL_TRUST_PROXY === '1',
    },
  )
