/** Starting the embedded engine on a folder that may be broken: such a folder is put aside, never deleted, never in the way. */
import { rename, rm } from 'node:fs/promises'
import { type ChdbProcess, type ChdbProcessOptions, ChdbStartError, startChdb } from './chdb-process.ts'
import type { AnalyticsLog } from './log.ts'

/** Crashes at start in a row that are blamed on the folder; fewer may be the machine's doing (memory, a signal). */
const CRASHES_BLAMED_ON_FOLDER = 3

/**
 * Returns the way to start. Where the engine refuses the folder (seen: a table's metadata file of length zero after a power
 * cut), it is renamed to `<dir>.broken-<time>` and an empty one begun, provided the engine runs on an empty one: a full disk
 * is not the folder's fault.
 */
export const createSoundStart = (log: AnalyticsLog) => {
  let crashes = 0
  return async (options: ChdbProcessOptions, signal: AbortSignal): Promise<ChdbProcess> => {
    try {
      const process = await startChdb(options, signal)
      crashes = 0
      return process
    } catch (error) {
      if (!(error instanceof ChdbStartError) || signal.aborted) throw error
      crashes = error.fault === 'crashed' ? crashes + 1 : 0
      if (error.fault !== 'refused' && crashes < CRASHES_BLAMED_ON_FOLDER) throw error
      crashes = 0
      return startAfresh(options, error, log, signal)
    }
  }
}

const startAfresh = async (
  options: ChdbProcessOptions,
  refusal: ChdbStartError,
  log: AnalyticsLog,
  signal: AbortSignal,
): Promise<ChdbProcess> => {
  const aside = `${options.dir}.broken-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  await rename(options.dir, aside)
  try {
    const process = await startChdb(options, signal)
    log.error({ err: refusal, aside }, 'analytics: data folder would not open; put aside, carrying on empty')
    return process
  } catch {
    await rm(options.dir, { recursive: true, force: true })
    await rename(aside, options.dir)
    throw refusal
  }
}
