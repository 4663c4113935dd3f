/** How assets and bytes end, put together: delete and purge, the collector, the reconciler, the scrub, and what comes on schedule. */
import type { ApiParts, Engines } from './compose-api.ts'
import type { DescribeAsset } from './http/asset-document.ts'
import type { Router } from './http/context.ts'
import type { Guards } from './http/principal.ts'
import { createCollector } from './lifecycle/collect.ts'
import { type Cooling, createCooling } from './lifecycle/cooling.ts'
import { createDeleting } from './lifecycle/delete.ts'
import { createMaintenanceRoutes } from './lifecycle/maintenance-routes.ts'
import { createPurging } from './lifecycle/purge.ts'
import { createQuarantineRoutes } from './lifecycle/quarantine-routes.ts'
import { createReconcile } from './lifecycle/reconcile.ts'
import { createReconcileRuns } from './lifecycle/reconcile-runs.ts'
import { createCleanupRoutes, createCollectRoutes, createLifecycleRoutes } from './lifecycle/routes.ts'
import { type Chore, createSchedule } from './lifecycle/schedule.ts'
import { createScrub, type Scrub } from './lifecycle/scrub.ts'
import type { Outbox } from './metadata/outbox.ts'
import type { StatsSource } from './telemetry.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** Sweeps find what is past its grace; a walk over every original is rare, since only a crash leaves bytes without a row. */
const SWEEP_MS = MINUTE_MS
const SCAN_MS = DAY_MS
/** A start has enough to do; a pass over everything once a week, as ZFS's own advice for disks of this kind is. */
const SCRUB = { firstAfterMs: 10 * MINUTE_MS, everyMs: 7 * DAY_MS }
/** Uses are noted within a minute or two; moves are a matter of days. */
const NOTE_USES = { firstAfterMs: MINUTE_MS, everyMs: MINUTE_MS }
const COOL = { firstAfterMs: 30 * MINUTE_MS, everyMs: DAY_MS }
const EXPIRE = { firstAfterMs: 20 * MINUTE_MS, everyMs: DAY_MS }

export interface LifecycleParts {
  readonly guards: Guards
  readonly describe: DescribeAsset
  readonly outbox: Outbox
  readonly graceMs: number
}

export interface Lifecycle {
  readonly assetRoutes: Router
  /** By the path they are mounted at. */
  readonly internal: Readonly<Record<string, Router>>
  readonly stats: readonly StatsSource[]
}

export const composeLifecycle = (api: ApiParts, parts: LifecycleParts): Lifecycle => {
  const { config, engines, log, opened } = api
  const { metadata, notices, uses } = engines
  const { guards, describe, outbox, graceMs } = parts
  const quarantineMs = config.ORIEL_QUARANTINE_SECONDS * 1000
  const purging = createPurging({ ...engines, outbox })
  const deleting = createDeleting({ metadata, notices, outbox, graceMs })
  const onFault = (what: string, error: unknown) => log.error({ err: error }, `${what} failed`)
  const collector = opened.use(
    createCollector(
      { ...engines, purging, onFault: (error) => onFault('collection', error) },
      {
        graceMs,
        quarantineMs,
        changesMs: config.ORIEL_SYNC_DAYS * DAY_MS,
        sweepIntervalMs: SWEEP_MS,
        scanIntervalMs: SCAN_MS,
      },
    ),
  )
  const ending = new AbortController()
  const reconcile = createReconcile({ ...engines, variantLister: engines.blobs.variants, purging, graceMs })
  const runs = createReconcileRuns({ metadata, reconcile, ending: ending.signal, onFault })
  // That it was broken off is written down while there are rows.
  opened.defer(runs.settled)
  const scrub = createScrub(engines, config.ORIEL_SCRUB_RATE || Number.POSITIVE_INFINITY)
  const cooling = composeCooling(engines, (error) => onFault('moving an original', error))
  const schedule = opened.use(createSchedule([...chores(api, scrub), ...coolingChores(engines, cooling)], onFault))
  opened.defer(() => ending.abort(new Error('the process ends')))
  collector.start()
  schedule.start()
  return {
    assetRoutes: createLifecycleRoutes({ guards, describe, deleting }),
    internal: {
      '/internal/assets': createCleanupRoutes({ guards, metadata, purging, graceMs }),
      '/internal/collect': createCollectRoutes(guards, collector),
      '/internal/quarantine': createQuarantineRoutes({ ...engines, guards, describe, outbox, quarantineMs }),
      '/internal': createMaintenanceRoutes({ guards, runs, scrub, ending: ending.signal, onFault }),
    },
    stats: [
      { area: 'collector', read: () => ({ ...collector.stats }) },
      { area: 'scrub', read: () => ({ ...scrub.stats }) },
      ...(cooling ? [{ area: 'cooling', read: () => ({ ...cooling.stats }) }] : []),
      ...(uses ? [{ area: 'uses', read: () => ({ ...uses.stats }) }] : []),
      { area: 'schedule', read: () => ({ ...schedule.stats }) },
    ],
  }
}

const composeCooling = (
  { metadata, locker, blobs: { cold } }: Engines,
  onFault: (error: unknown) => void,
): Cooling | undefined =>
  cold && createCooling({ metadata, locker, tiers: cold.tiers, onFault }, { unseenMs: cold.unseenMs })

const coolingChores = ({ uses }: Engines, cooling: Cooling | undefined): readonly Chore[] =>
  uses && cooling
    ? [
        { ...NOTE_USES, name: 'noteUses', run: uses.flush },
        { ...COOL, name: 'coolOriginals', run: cooling.run },
      ]
    : []

const chores = ({ config, engines: { blobs, locker } }: ApiParts, scrub: Scrub): readonly Chore[] => {
  const { expireVariants } = blobs
  const unusedMs = config.ORIEL_VARIANT_DAYS * DAY_MS
  return [
    ...(config.ORIEL_SCRUB_RATE > 0
      ? [{ ...SCRUB, name: 'scrub', run: async (signal: AbortSignal) => (await scrub.run(signal)).checked }]
      : []),
    ...(expireVariants && unusedMs > 0
      ? [
          {
            ...EXPIRE,
            name: 'expireVariants',
            run: async (signal: AbortSignal) => {
              await using _lease = await locker.acquire('expire-variants', signal)
              return expireVariants(new Date(Date.now() - unusedMs))
            },
          },
        ]
      : []),
  ]
}
