/** How many uploads, and how many bytes of them, may be under way at once, in all and of one owner. The one too many is told to come back. */
import { AppError } from '../core/errors.ts'
import type { OwnerId } from '../core/ids.ts'

/** Of all places and bytes, what one owner may hold: whoever sends slowly, or much, leaves a quarter to the others. */
const OWNER_SHARE = 3 / 4
const RETRY = { retryAfterSeconds: 1 }

export interface AdmissionOptions {
  readonly maxUploads: number
  /** Bytes declared by all uploads under way; one of unknown length counts as the largest allowed. */
  readonly maxBytesInFlight: number
}

interface Load {
  running: number
  bytesInFlight: number
}

export interface AdmissionStats extends Load {
  refused: number
  /** Of those, for their owner's share. */
  refusedOwners: number
}

export interface Admission {
  readonly stats: Readonly<AdmissionStats>
  /**
   * Holds a place until disposed. An owner with none under way is let in however large it is, if a place is free.
   * @throws AppError `busy` when all is taken, `rate-limited` when the owner's share is.
   */
  enter(owner: OwnerId, bytes: number): Disposable
}

export const createAdmission = ({ maxUploads, maxBytesInFlight }: AdmissionOptions): Admission => {
  const stats: AdmissionStats = { running: 0, bytesInFlight: 0, refused: 0, refusedOwners: 0 }
  const owners = new Map<OwnerId, Load>()
  const share = { maxUploads: Math.ceil(maxUploads * OWNER_SHARE), maxBytesInFlight: maxBytesInFlight * OWNER_SHARE }

  return {
    stats,
    enter: (owner, bytes) => {
      if (isFull(stats, bytes, { maxUploads, maxBytesInFlight })) {
        stats.refused += 1
        throw new AppError('busy', `${stats.running} uploads are under way; try again`, RETRY)
      }
      const own = owners.get(owner) ?? { running: 0, bytesInFlight: 0 }
      if (isFull(own, bytes, share)) {
        stats.refused += 1
        stats.refusedOwners += 1
        throw new AppError('rate-limited', `${own.running} uploads of yours are under way; try again`, RETRY)
      }
      owners.set(owner, own)
      add(stats, 1, bytes)
      add(own, 1, bytes)
      return {
        [Symbol.dispose]: () => {
          add(stats, -1, -bytes)
          add(own, -1, -bytes)
          if (own.running === 0) owners.delete(owner)
        },
      }
    },
  }
}

/** The first is always let in: a limit in bytes is one of many at once, not of the size of one. */
const isFull = (load: Load, bytes: number, { maxUploads, maxBytesInFlight }: AdmissionOptions): boolean =>
  load.running > 0 && (load.running >= maxUploads || load.bytesInFlight + bytes > maxBytesInFlight)

const add = (load: Load, uploads: number, bytes: number): void => {
  load.running += uploads
  load.bytesInFlight += bytes
}
