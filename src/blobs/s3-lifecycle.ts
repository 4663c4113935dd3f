/** The bucket's lifecycle rules: three of ours, kept as the configuration says; everybody else's as they are. */
import {
  GetBucketLifecycleConfigurationCommand,
  type LifecycleRule,
  PutBucketLifecycleConfigurationCommand,
} from '@aws-sdk/client-s3'
import type { S3Log } from './s3-capabilities.ts'
import type { S3Connection } from './s3-client.ts'
import { judgeS3Error, nameS3Error } from './s3-faults.ts'
import type { S3Location } from './s3-location.ts'

/** Parts of uploads that never ended, such as those of a process that was killed; an upload takes minutes. */
const ABORT_UPLOADS_DAYS = 1
const LIMIT_MS = 10_000

/** Named after the prefix, so that two Oriels can share a bucket. */
export const lifecycleRules = ({
  prefix,
  variantDays,
}: Pick<S3Location, 'prefix' | 'variantDays'>): LifecycleRule[] => [
  {
    ID: `oriel-variants-${prefix}`,
    Status: 'Enabled',
    Filter: { Prefix: `${prefix}variants/` },
    Expiration: { Days: variantDays },
  },
  abortRule(`oriel-uploads-${prefix}`, `${prefix}originals/`),
  abortRule(`oriel-sessions-${prefix}`, `${prefix}sessions/`),
]

const abortRule = (ID: string, Prefix: string): LifecycleRule => ({
  ID,
  Status: 'Enabled',
  Filter: { Prefix },
  AbortIncompleteMultipartUpload: { DaysAfterInitiation: ABORT_UPLOADS_DAYS },
})

/** @returns all rules to be put, or undefined when nothing is to be changed. Pure. */
export const mergeRules = (
  there: readonly LifecycleRule[],
  ours: readonly LifecycleRule[],
): LifecycleRule[] | undefined => {
  const isKept = ours.every((rule) => there.some((other) => isSame(other, rule)))
  if (isKept) return undefined
  const ids = new Set(ours.map(({ ID }) => ID))
  return [...there.filter(({ ID }) => !ids.has(ID)), ...ours]
}

const isSame = (one: LifecycleRule, other: LifecycleRule): boolean =>
  one.ID === other.ID &&
  one.Status === other.Status &&
  one.Filter?.Prefix === other.Filter?.Prefix &&
  one.Expiration?.Days === other.Expiration?.Days &&
  one.AbortIncompleteMultipartUpload?.DaysAfterInitiation === other.AbortIncompleteMultipartUpload?.DaysAfterInitiation

/**
 * Never fails: without the rules variants stay for ever, which costs money and breaks nothing, so it is logged. S3 replaces all
 * rules at once and knows no condition, so a rule that somebody else adds within these milliseconds is lost.
 */
export const ensureLifecycle = async (connection: S3Connection, log: S3Log): Promise<void> => {
  const { client, location } = connection
  const Bucket = location.bucket
  try {
    const found = await connection
      .call((abortSignal) => client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }), { abortSignal }), {
        limitMs: LIMIT_MS,
      })
      .catch(noneIfMissing)
    const Rules = mergeRules(found.Rules ?? [], lifecycleRules(location))
    if (!Rules) return
    const command = new PutBucketLifecycleConfigurationCommand({
      Bucket,
      LifecycleConfiguration: { Rules },
      TransitionDefaultMinimumObjectSize: found.TransitionDefaultMinimumObjectSize,
    })
    await connection.call((abortSignal) => client.send(command, { abortSignal }), { limitMs: LIMIT_MS })
    log.info(`lifecycle rules put on the S3 bucket ${Bucket}: variants expire after ${location.variantDays} days`)
  } catch (error) {
    log.warn(
      { err: error },
      `the S3 bucket ${Bucket} has no lifecycle rules of Oriel's, and they cannot be put (${nameS3Error(error)}): variants do not expire`,
    )
  }
}

interface Found {
  readonly Rules?: LifecycleRule[] | undefined
  readonly TransitionDefaultMinimumObjectSize?: PutBucketLifecycleConfigurationCommand['input']['TransitionDefaultMinimumObjectSize']
}

/** 404 `NoSuchLifecycleConfiguration`: a bucket that never had a rule. */
const noneIfMissing = (error: unknown): Found => {
  if (judgeS3Error(error) === 'missing') return {}
  throw error
}
