/** An asset of bytes that are stored already, committed as an upload of them would be: same locks, same races, same keys. */
import type { Staged } from '../blobs/store.ts'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'
import type { Metadata } from '../metadata/database.ts'
import { findOriginal } from '../metadata/originals.ts'
import type { Committed, Upload } from './commit.ts'

export interface Adoption extends Omit<Upload, 'staged'> {
  readonly digest: Digest
  readonly bytes: number
}

type Commit = (upload: Upload, signal: AbortSignal) => Promise<Committed>

/**
 * @returns the use case. Whether the caller may have these bytes has been judged before.
 * @throws (from it) AppError `not-found` when the bytes are not here, and what `commit` throws.
 */
export const createAdopt =
  (commit: Commit, metadata: Pick<Metadata, 'read'>) =>
  async ({ digest, bytes, ...rest }: Adoption, signal: AbortSignal): Promise<Committed> => {
    const stored = async () => {
      const known = await findOriginal(metadata.read, digest)
      // A fault is cured by bytes, and a claim brings none: the commit would only take away what is left of them.
      return known?.bytes === bytes && known.condition?.fault === null
    }
    if (!(await stored())) throw notHere()
    try {
      return await commit({ ...rest, staged: nothingStaged(digest, bytes) }, signal)
    } catch (error) {
      // Removed between the look and the lock: then the commit looked for a file of ours in vain.
      if (!(await stored())) throw notHere()
      throw error
    }
  }

const notHere = (): AppError => new AppError('not-found', 'these bytes are no longer here: upload them')

/** There is no file; a commit asks for one only where the store has lost its own. */
const nothingStaged = (digest: Digest, bytes: number): Staged => ({
  digest,
  bytes,
  file: () => Promise.reject(notHere()),
  publish: () => Promise.reject(notHere()),
  [Symbol.asyncDispose]: async () => {},
})
