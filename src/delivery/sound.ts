/** Bytes that are known to be wrong or missing are neither sent nor rendered (CONTRACT §7.1); variants made before are right. */
import type { DeliverySubject } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'

/** Somebody has to upload the picture again first: an edge that has an old copy may serve it meanwhile. */
const RETRY_SECONDS = 3_600

/** @throws AppError `busy` where the stored bytes have a fault. */
export const assertSound = ({ digest, fault }: Pick<DeliverySubject, 'digest' | 'fault'>): void => {
  if (fault === null) return
  throw new AppError('busy', `the bytes of ${digest} are ${fault}; they have to be uploaded again`, {
    retryAfterSeconds: RETRY_SECONDS,
  })
}
