/** One process per data folder: two would take each other's spool segments and staging files for left-overs of a crash. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * Holds an exclusive SQLite lock on `<folder>/lock` for as long as the process lives: the kernel drops it on any death, so
 * there is no stale lock to clean up (sqlite.org/lockingv3.html).
 * @throws Error naming the folder when another process holds it.
 */
export const lockFolder = (folder: string): Disposable => {
  const database = new DatabaseSync(join(folder, 'lock'), { timeout: 0 })
  try {
    database.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw new Error(`another Oriel is running on ${folder}: stop it, or give this one an ORIEL_DATA of its own`, {
      cause,
    })
  }
  return { [Symbol.dispose]: () => database.close() }
}
