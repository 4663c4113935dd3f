/** What may happen once: batches of events, challenges of a proof. Kept with the answer that was given, until a repeat is no danger any more. */
import { AppError } from '../core/errors.ts'
import type { OwnerId } from '../core/ids.ts'
import type { Queries } from './database.ts'

export type OnceScope = 'events' | 'possession'

export interface OnceName {
  readonly scope: OnceScope
  readonly ownerId: OwnerId
  readonly key: string
}

export interface OnceRecord extends OnceName {
  /** SHA-256 of what was asked; something else under the same key is refused. */
  readonly fingerprint: string
  readonly answer: string
  readonly expiresAt: Date
}

export const findOnce = async (
  queries: Queries,
  { scope, ownerId, key }: OnceName,
  now: Date,
): Promise<Pick<OnceRecord, 'fingerprint' | 'answer'> | undefined> =>
  queries
    .selectFrom('once')
    .select(['fingerprint', 'answer'])
    .where('scope', '=', scope)
    .where('owner', '=', ownerId)
    .where('key', '=', key)
    .where('expires_at', '>', now.getTime())
    .executeTakeFirst()

/** @throws AppError `conflict` when it has happened, and not so long ago that it was forgotten. */
export const saveOnce = async (transaction: Queries, record: OnceRecord, now: Date): Promise<void> => {
  const { scope, ownerId, key, fingerprint, answer, expiresAt } = record
  await transaction
    .deleteFrom('once')
    .where('scope', '=', scope)
    .where('owner', '=', ownerId)
    .where('key', '=', key)
    .where('expires_at', '<=', now.getTime())
    .execute()
  const result = await transaction
    .insertInto('once')
    .values({ scope, owner: ownerId, key, fingerprint, answer, expires_at: expiresAt.getTime() })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  if (result.numInsertedOrUpdatedRows === 0n) throw new AppError('conflict', 'this has happened before')
}

/** Forgets what has expired; answers how much. */
export const dropExpiredOnce = async (transaction: Queries, now: Date): Promise<number> => {
  const result = await transaction.deleteFrom('once').where('expires_at', '<=', now.getTime()).executeTakeFirst()
  return Number(result.numDeletedRows)
}
