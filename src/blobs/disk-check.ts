/** Can the disk still take and give bytes? Tried where uploads begin, since a lost mount or a full disk shows only in use. */
import { open, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A block: an empty file would need no room. */
const PROBE_BYTES = 4096

/**
 * `checkStaging`, and a look at `<folder>/originals`.
 * @throws Error, of the system, naming what failed.
 */
export const checkDisk = async (folder: string): Promise<void> => {
  if (!(await stat(join(folder, 'originals'))).isDirectory()) throw new Error('originals/ is no folder')
  await checkStaging(folder)
}

/**
 * Writes and removes a small file in `<folder>/staging`. Not to be run twice at once.
 * @throws Error, of the system, naming what failed.
 */
export const checkStaging = async (folder: string): Promise<void> => {
  const path = join(folder, 'staging', `check-${process.pid}`)
  try {
    await using file = await open(path, 'w', 0o600)
    await file.writeFile(Buffer.alloc(PROBE_BYTES))
  } finally {
    await rm(path, { force: true })
  }
}
