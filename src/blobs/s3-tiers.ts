/**
 * A colder class of storage for originals, in place: an object is copied onto itself in another class, and is read as before all the
 * while. What lies where is what the store says, in its listing and its answers; nothing is kept beside it that could differ.
 */
import { randomUUID } from 'node:crypto'
import type { S3Bucket } from './s3-bucket.ts'
import type { S3Log } from './s3-capabilities.ts'
import type { S3Connection } from './s3-client.ts'
import { copyObject, MAX_COPY } from './s3-copy.ts'
import { asS3AppError, judgeS3Error, nameS3Error } from './s3-faults.ts'
import { listOriginals, originalKey } from './s3-originals.ts'
import type { StorageTier, TieredOriginals } from './store.ts'

/** A probe copied, and read back. */
const COPY_LIMIT_MS = 40_000
const READ_LIMIT_MS = 20_000

/** @param cold the store's name for the class; every other than it and `STANDARD` is left alone. */
export const createS3Tiers = (
  connection: S3Connection,
  bucket: S3Bucket,
  cold: string,
  maxCopy = MAX_COPY,
): TieredOriginals => {
  const { prefix } = connection.location
  const tierOf = (storageClass = 'STANDARD'): StorageTier =>
    storageClass === cold ? 'cold' : storageClass === 'STANDARD' ? 'standard' : 'other'
  const classOf = { cold, standard: 'STANDARD' } as const

  return {
    tiers: async function* () {
      for await (const { storageClass, ...stored } of listOriginals(bucket, prefix))
        yield { ...stored, tier: tierOf(storageClass) }
    },
    move: async (digest, bytes, to, signal) => {
      const key = originalKey(prefix, digest)
      const from = to === 'cold' ? 'standard' : 'cold'
      try {
        const found = await bucket.head(key)
        if (!found || found.bytes !== bytes || tierOf(found.storageClass) !== from) return false
        try {
          await copyObject(connection, { key, bytes }, { key, storageClass: classOf[to] }, signal, maxCopy)
        } catch (error) {
          // An attempt whose answer was lost: the next one is told that the copy would change nothing.
          if (judgeS3Error(error) !== 'refused' || tierOf((await bucket.head(key))?.storageClass) !== to) throw error
        }
        return true
      } catch (error) {
        signal.throwIfAborted()
        // Gone since it was looked at: removed by who holds the lock that we have lost.
        if (judgeS3Error(error) === 'missing') return false
        throw asS3AppError(error)
      }
    },
  }
}

class UnfitClass extends Error {}

const PROBE = Buffer.from('Oriel tries a class of storage. Safe to remove.\n')

/**
 * @throws Error when the store has no such class, cannot copy into it (Ceph 16.2 what is encrypted: 501), ignores the order, or cannot
 * read it at once: originals moved there would be lost to their readers. A store that does not answer is logged.
 */
export const probeColdClass = async (
  connection: S3Connection,
  bucket: Pick<S3Bucket, 'put' | 'head' | 'get' | 'remove'>,
  storageClass: string,
  log: S3Log,
): Promise<void> => {
  const { location } = connection
  const name = `the S3 bucket ${location.bucket}`
  const key = `${location.prefix}probe/${randomUUID()}`
  try {
    await bucket.put(key, PROBE)
    const probe = { key, bytes: PROBE.length }
    await copyObject(connection, probe, { key, storageClass }, AbortSignal.timeout(COPY_LIMIT_MS))
    if ((await bucket.head(key))?.storageClass !== storageClass)
      throw new UnfitClass(
        `${name} does not store as ${storageClass}: it accepts the request and ignores it (cold_class)`,
      )
    await bucket.get(key, READ_LIMIT_MS)
  } catch (error) {
    if (error instanceof UnfitClass) throw error
    if (judgeS3Error(error) !== 'fault')
      throw new Error(
        `${name} cannot store as ${storageClass} what is read at once (cold_class): ${nameS3Error(error)}`,
        {
          cause: error,
        },
      )
    log.warn({ err: error }, `${name} does not answer; whether it has the class ${storageClass} is not known`)
  } finally {
    await bucket.remove(key).catch(() => undefined)
  }
}
