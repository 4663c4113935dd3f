/** Sync put together: the feed over the rows, and its routes. */
import type { ApiParts } from './compose-api.ts'
import type { DescribeAsset } from './http/asset-document.ts'
import type { Router } from './http/context.ts'
import type { Guards } from './http/principal.ts'
import { createFeed } from './sync/feed.ts'
import { createSyncRoutes } from './sync/routes.ts'

/** @returns what is to be mounted at the root. */
export const composeSync = (
  { engines, hub, log }: Pick<ApiParts, 'engines' | 'hub' | 'log'>,
  shared: { readonly guards: Guards; readonly describe: DescribeAsset },
): Router =>
  createSyncRoutes({
    ...shared,
    feed: createFeed(engines.metadata),
    hub,
    onFault: (error, requestId) => log.warn({ err: error, requestId }, 'a stream of changes broke off'),
  })
