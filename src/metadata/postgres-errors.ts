/** What PostgreSQL and its client report → AppError. Their texts go to the log as the cause, never to the client. */
import { DatabaseError } from 'pg'
import { AppError } from '../core/errors.ts'

/** A restart takes seconds; a full disk takes an operator. */
const RETRY_SECONDS = 2
const FULL_RETRY_SECONDS = 60

/** postgresql.org/docs/current/errcodes-appendix.html. Classes, by their first two characters, and single codes. */
const OUT_OF_REACH = /^(08|53|57P|25006$|57014$|55P03$|25P0[34]$|40001$|40P01$)/
const DISK_FULL = '53100'
/** A NUL character, which SQLite keeps and PostgreSQL cannot. */
const NOT_TEXT = '22021'
const RACE_LOST = new Set(['40001', '40P01'])

/**
 * `busy` when the database cannot be reached, has no connection, memory or disk left, or took too long; `bad-request` for text that
 * it cannot hold; `internal` for what it refused. What is an AppError already passes.
 */
export const asAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error
  const cause = error
  if (!(error instanceof DatabaseError))
    return new AppError('busy', 'the database cannot be reached', { cause, retryAfterSeconds: RETRY_SECONDS })
  const code = error.code ?? ''
  if (code === DISK_FULL)
    return new AppError('busy', 'the disk is full', { cause, retryAfterSeconds: FULL_RETRY_SECONDS })
  if (OUT_OF_REACH.test(code))
    return new AppError('busy', 'the database is busy', { cause, retryAfterSeconds: RETRY_SECONDS })
  if (code === NOT_TEXT) return new AppError('bad-request', 'text with a NUL character', { cause })
  return new AppError('internal', 'the database refused a statement', { cause })
}

/** The transaction lost against another and was rolled back for certain: run again it may win. */
export const lostRace = (error: unknown): boolean => {
  const { cause } = error instanceof AppError ? error : {}
  return cause instanceof DatabaseError && RACE_LOST.has(cause.code ?? '')
}

const COMING_UP = new Set(['57P03', 'ECONNREFUSED', 'ECONNRESET', 'ENOENT'])

/** A connection could not be made because the server is just not there, as during its restart. */
export const isRestarting = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && COMING_UP.has(String(error.code))

/** Worth another try at start: the server is not up yet, or is full. */
export const mayComeUp = (error: unknown): boolean => asAppError(error).kind === 'busy'
