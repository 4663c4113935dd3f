/** The caller's assets: known already? which? one, and its details. Mounted at `/assets` and `/images`. */
import { createRouter, type Router } from '../http/context.ts'
import { mountDetails } from './details-routes.ts'
import { mountListing } from './listing-routes.ts'
import type { LibraryDeps } from './ports.ts'
import { mountPrecheck } from './precheck-routes.ts'
import { mountVariants } from './variant-routes.ts'

export const createLibraryRoutes = (deps: LibraryDeps): Router => {
  const routes = createRouter()
  mountPrecheck(routes, deps)
  mountListing(routes, deps)
  mountDetails(routes, deps)
  mountVariants(routes, deps)
  return routes
}
