/** How many uploads, and how many bytes of them, may be under way at once. The one too many is told to come back. */
import { AppError } from '../core/errors.ts'

export interface AdmissionOptions {
  readonly maxUploads: number
  /** Bytes declared by all uploads under way; one of unknown length counts as the largest allowed. */
  readonly maxBytesInFlight: number
}

export interface AdmissionStats {
  running: number
  bytesInFlight: number
  refused: number
}

export interface Admission {
  readonly stats: Readonly<AdmissionStats>
  /** Holds a place until disposed. @throws AppError `busy` when there is none. One upload is always let in. */
  enter(bytes: number): Disposable
}

export const createAdmission = ({ maxUploads, maxBytesInFlight }: AdmissionOptions): Admission => {
  const stats: AdmissionStats = { running: 0, bytesInFlight: 0, refused: 0 }
  return {
    stats,
    enter: (bytes) => {
      const full = stats.running >= maxUploads || stats.bytesInFlight + bytes > maxBytesInFlight
      if (full && stats.running > 0) {
        stats.refused += 1
        throw new AppError('busy', `${stats.running} uploads are under way; try again`, { retryAfterSeconds: 1 })
      }
      stats.running += 1
      stats.bytesInFlight += bytes
      return {
        [Symbol.dispose]: () => {
          stats.running -= 1
          stats.bytesInFlight -= bytes
        },
      }
    },
  }
}
