/** The caches in front of this origin that are told what it hides: notices that they follow, where there are any. */
import type { Logger } from 'pino'
import type { Config } from '../config/environment.ts'
import type { Engines } from './compose-api.ts'
import { followedByEdges } from './coordination/edge-purger.ts'
import { createHttpEdgePurger } from './coordination/http-edge-purger.ts'
import type { Digest } from './core/ids.ts'
import { dropEdgePurge, isPurgedAtEdges, noteEdgePurge } from './metadata/edge-purges.ts'
import { findDeliverySubject } from './metadata/subjects.ts'

/** @param shared the locker among it must be that of all origins which share the rows: else a late "keep" could undo a purge. */
export const openEdges = (
  { ORIEL_EDGE_PURGE: addresses, ORIEL_EDGE_PURGE_KEY: key, ORIEL_SCAN: scan }: Config,
  { metadata, locker, notices }: Pick<Engines, 'metadata' | 'locker' | 'notices'>,
  log: Logger,
  opened: AsyncDisposableStack,
): Pick<Engines, 'edges' | 'notices'> => {
  if (!addresses || !key) return { edges: undefined, notices }
  const edges = opened.use(
    createHttpEdgePurger(
      { addresses, key },
      {
        isHidden: async (digest: Digest) =>
          (await findDeliverySubject(metadata.read, digest, scan === 'hold'))?.access !== 'public',
        marks: {
          has: (digest) => isPurgedAtEdges(metadata.read, digest),
          add: (digest) => metadata.transaction((transaction) => noteEdgePurge(transaction, digest, new Date())),
          remove: (digest) => metadata.transaction((transaction) => dropEdgePurge(transaction, digest)),
        },
        locker,
        onFault: (edge, outcome, error) => log.warn({ err: error, edge, outcome }, 'not purged'),
      },
    ),
  )
  return { edges, notices: followedByEdges(notices, edges) }
}
