/** Resumable uploads over the engines that `compose.ts` opened. */
import type { ApiParts } from './compose-api.ts'
import type { Router } from './http/context.ts'
import { createResumable, type ResumableDeps } from './ingest/resumable.ts'
import type { StatsSource } from './telemetry.ts'

type FromApi = Pick<ResumableDeps, 'commit' | 'guards' | 'describe' | 'quota'>

/** Its sweep runs from now until what was opened is closed. */
export const composeUploads = (
  { config, engines, log, opened }: ApiParts,
  shared: FromApi,
): { readonly routes: readonly Router[]; readonly stats: readonly StatsSource[] } => {
  const { metadata, blobs, locker } = engines
  const onFault = (error: unknown) => log.error({ err: error }, 'upload sessions')
  const { routes, sweep, stats } = createResumable(
    { ...shared, metadata, locker, chunks: blobs.chunks, onFault },
    {
      maxBytes: config.ORIEL_MAX_SESSION_UPLOAD,
      maxOpen: config.ORIEL_MAX_SESSIONS,
      maxBytesInFlight: config.ORIEL_CHUNK_BYTES_IN_FLIGHT,
      lifeMs: config.ORIEL_SESSION_SECONDS * 1000,
    },
  )
  opened.use(sweep).start()
  return { routes, stats: [{ area: 'sessions', read: stats }] }
}
