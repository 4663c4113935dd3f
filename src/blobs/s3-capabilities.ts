/**
 * What this store really does, tried at start with one small object. Stores that speak S3 accept what they do not know: Ceph
 * 16.2 answers 200 to a put with `ServerSideEncryption: AES256` and stores it in the clear, and ignores `If-None-Match` where
 * a multipart upload is completed and the conditions of a copy.
 */
import { randomUUID } from 'node:crypto'
import type { S3Bucket } from './s3-bucket.ts'
import { judgeS3Error, nameS3Error } from './s3-faults.ts'
import type { S3Location } from './s3-location.ts'

export interface S3Capabilities {
  /** A put with `If-None-Match: *` fails where there is an object. */
  readonly conditionalPut: boolean
}

/** Told what an operator should know. */
export interface S3Log {
  info(message: string): void
  warn(details: object, message: string): void
}

type Probed = Pick<S3Bucket, 'put' | 'head' | 'remove'>

/**
 * @throws Error when the store refuses to be written to (bucket, credentials), or does not encrypt as it was told to: a start
 * that would not do what the configuration says is no start. A store that does not answer is another matter: it may in a minute,
 * and meanwhile memory and edges serve; only where encryption is asked for must it be seen first.
 */
export const probeS3 = async (
  bucket: Probed,
  location: Pick<S3Location, 'bucket' | 'prefix' | 'encryption'>,
  log: S3Log,
): Promise<S3Capabilities> => {
  const name = `the S3 bucket ${location.bucket}`
  const encryption = location.encryption.kind
  try {
    const { conditionalPut, encryptedBy } = await tryObject(bucket, `${location.prefix}probe/${randomUUID()}`)
    if (encryption !== 'none' && encryptedBy !== encryption)
      throw new UnfitStore(`${name} does not encrypt by ${encryption}: it accepts the request and ignores it`)
    if (!conditionalPut)
      log.warn({}, `${name} ignores If-None-Match on puts: equal originals are overwritten by equal bytes`)
    return { conditionalPut }
  } catch (error) {
    if (error instanceof UnfitStore) throw error
    const failure = judgeS3Error(error)
    if (failure !== 'fault' || encryption !== 'none')
      throw new Error(`${name} cannot be used (ORIEL_BLOBS): ${nameS3Error(error)}`, { cause: error })
    log.warn({ err: error }, `${name} does not answer; started without it`)
    return { conditionalPut: false }
  }
}

class UnfitStore extends Error {}

const PROBE = Buffer.from('Oriel tries what this store can. Safe to remove.\n')

/** A probe left behind by a process that died is 49 bytes. */
const tryObject = async (bucket: Probed, key: string) => {
  try {
    await putIfAbsent(bucket, key)
    const conditionalPut = !(await putIfAbsent(bucket, key))
    return { conditionalPut, encryptedBy: (await bucket.head(key))?.encryption }
  } finally {
    await bucket.remove(key).catch(() => undefined)
  }
}

/** A store that knows the condition well enough to refuse it (501, or 400) gets the put without it. */
const putIfAbsent = async (bucket: Probed, key: string): Promise<boolean> => {
  try {
    return await bucket.put(key, PROBE, { onlyIfAbsent: true })
  } catch (error) {
    if (judgeS3Error(error) !== 'refused') throw error
    return bucket.put(key, PROBE)
  }
}
