/** Starts load generators, and turns their results into figures that can be trusted: a failed answer is an error, not a figure. */
import { type Peer, startPeer } from '../processes.ts'
import type { LoadJob, LoadResult } from './job.ts'

/** @param core where it runs; absent: wherever the kernel puts it. */
export const startGenerator = (core?: number): Peer<LoadJob, LoadResult> =>
  startPeer<LoadJob, LoadResult>(new URL('./load-process.ts', import.meta.url), { core })

/** @throws Error when any answer was not a 2xx or 304. */
export const load = async (generator: Peer<LoadJob, LoadResult>, job: LoadJob): Promise<LoadResult> => {
  const result = await generator.ask(job)
  if (Object.keys(result.failures).length > 0)
    throw new Error(`answers by status that were no success: ${JSON.stringify(result.failures)}`)
  return result
}
