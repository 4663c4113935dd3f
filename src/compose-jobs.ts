/** Work after the answer put together: which events leave a job, who does it, and how an administrator sees it. */
import type { ApiParts } from './compose-api.ts'
import type { Router } from './http/context.ts'
import type { Guards } from './http/principal.ts'
import { createClamd } from './jobs/clamd.ts'
import { createHandlers, jobRoutes } from './jobs/handlers.ts'
import { createRelay, type Relay } from './jobs/relay.ts'
import { createJobsRoutes } from './jobs/routes.ts'
import { createWebhook } from './jobs/webhook.ts'
import { createOutbox, type Outbox } from './metadata/outbox.ts'
import type { StatsSource } from './telemetry.ts'

export interface Jobs {
  readonly outbox: Outbox
  readonly routes: Router
  readonly stats: readonly StatsSource[]
}

export const composeJobs = ({ config, engines, delivery, log, opened }: ApiParts, guards: Guards): Jobs => {
  const { metadata, originals, notices, edges } = engines
  const { ORIEL_SCAN: scan, ORIEL_CLAMD: clamd, ORIEL_PREWARM: prewarm = [] } = config
  const { ORIEL_WEBHOOK: url, ORIEL_WEBHOOK_SECRET: secret } = config
  const webhook = url !== undefined && secret ? createWebhook({ url, secret }) : undefined
  const routes = jobRoutes({
    edges: edges !== undefined,
    scan,
    prewarm: prewarm.length > 0,
    notify: webhook !== undefined,
  })
  // An append wakes the relay, whose handlers append.
  let relay: Relay | undefined
  const outbox = createOutbox(routes, () => relay?.wake())
  const handlers = createHandlers({
    metadata,
    originals,
    notices,
    outbox,
    edges: edges !== undefined,
    scanner: scan !== 'off' && clamd ? createClamd(clamd) : undefined,
    scan,
    prewarm,
    warm: delivery.warm,
    webhook,
  })
  const onFault = (what: string, error: unknown) => log.error({ err: error }, `jobs: ${what}`)
  relay = opened.use(createRelay({ metadata, handlers, onFault }))
  relay.start()
  const { stats, wake } = relay
  return {
    outbox,
    routes: createJobsRoutes({ guards, metadata, wake }),
    stats: Object.keys(stats()).map((kind) => ({
      area: `jobs_${kind.replaceAll('-', '_')}`,
      read: () => ({ ...stats()[kind] }),
    })),
  }
}
