/** Analytics' HTTP: questions, and events of edges. Nothing where analytics is off. */
import { createEventsRoutes } from './analytics/events-routes.ts'
import { createAnalyticsRoutes } from './analytics/routes.ts'
import type { Engines } from './compose-api.ts'
import type { Router } from './http/context.ts'
import type { Guards } from './http/principal.ts'
import type { StatsSource } from './telemetry.ts'

/** @returns routers to be mounted at the root, and their counters. */
export const composeAnalytics = (
  { analytics, metadata, locker }: Pick<Engines, 'analytics' | 'metadata' | 'locker'>,
  guards: Guards,
): { readonly routes: readonly Router[]; readonly stats: readonly StatsSource[] } => {
  if (!analytics) return { routes: [], stats: [] }
  const events = createEventsRoutes({ guards, metadata, locker, importFrames: analytics.importFrames })
  return {
    routes: [createAnalyticsRoutes({ guards, query: analytics.query }), events.routes],
    stats: [{ area: 'edge_events', read: () => ({ ...events.stats }) }],
  }
}
