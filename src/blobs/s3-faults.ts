/** What an error of the store means. Pure. */
import { S3ServiceException } from '@aws-sdk/client-s3'
import { AppError } from '../core/errors.ts'

/**
 * `missing`: no such object. `exists`: a conditional put lost. `refused`: the store answers, and will answer the same again
 * (credentials, bucket, what it does not implement). `fault`: it does not answer, or says that it cannot now.
 */
export type S3Failure = 'missing' | 'exists' | 'refused' | 'fault'

/** 412: there was one; 409: another put of that key won while ours was under way (AWS, ConditionalRequestConflict). */
const EXISTS = new Set([409, 412])
/** Too slow, too many: answers that say "later". */
const LATER = new Set([408, 429])
/** Of the answers from 500 on, the one that will not change. */
const NOT_IMPLEMENTED = 501

/** A status that may be another one later; any other from 400 on will be the same again. */
export const saysLater = (status: number): boolean => LATER.has(status) || (status >= 500 && status !== NOT_IMPLEMENTED)

export const judgeS3Error = (error: unknown): S3Failure => {
  // The SDK looked for credentials everywhere and found none: no request was made.
  if (error instanceof Error && error.name === 'CredentialsProviderError') return 'refused'
  if (!(error instanceof S3ServiceException)) return 'fault'
  const status = error.$metadata.httpStatusCode ?? 0
  if (status === 404) return error.name === 'NoSuchBucket' ? 'refused' : 'missing'
  if (EXISTS.has(status)) return 'exists'
  return status >= 400 && !saysLater(status) ? 'refused' : 'fault'
}

/** The store's own name for it, such as `AccessDenied`; for a HEAD, whose answer has no body, only the status. */
export const nameS3Error = (error: unknown): string => {
  if (!(error instanceof S3ServiceException))
    return error instanceof Error ? error.message || error.name : String(error)
  return `${error.name} (${error.$metadata.httpStatusCode ?? 'no status'})`
}

/** Seconds until the circuit lets a call through again, so the earliest that a client can be luckier. */
export const RETRY_AFTER_SECONDS = 5

export const storeBusy = (cause?: unknown, message = 'the object store does not answer'): AppError =>
  new AppError('busy', message, { cause, retryAfterSeconds: RETRY_AFTER_SECONDS })

/** For who asked for something of Oriel: a fault may pass, a refusal is ours to mend. What is no error of the store stays. */
export const asS3AppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error
  if (judgeS3Error(error) === 'fault') return storeBusy(error)
  return new AppError('internal', `the object store refuses: ${nameS3Error(error)}`, { cause: error })
}
