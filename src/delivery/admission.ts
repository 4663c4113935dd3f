/** Who may see a hash: the pure rule behind 404 and 410 (CONTRACT §1). What a stranger may not see does not exist for him. */
import type { DeliverySubject } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import type { Digest } from '../core/ids.ts'

/** A subject that this request may see. */
export type Admitted = DeliverySubject

/**
 * @param trusted the request carried a valid signature.
 * @returns the subject, live and visible to this request.
 * @throws AppError `not-found` (unknown, or private to a stranger), `gone` (deleted, told only to whom it was visible).
 */
export const admit = (subject: DeliverySubject | undefined, digest: Digest, trusted: boolean): DeliverySubject => {
  if (subject && (subject.access === 'public' || (trusted && subject.access === 'private'))) return subject
  if (subject?.access === 'deleted' && (trusted || subject.wasPublic))
    throw new AppError('gone', `the image ${digest} was deleted`)
  throw new AppError('not-found', `no image ${digest}`)
}
