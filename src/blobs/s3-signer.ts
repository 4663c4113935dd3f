/**
 * Requests signed for clients: the put of one object of one length, for some time. A signature binds the headers that it names; what else a
 * client sends is for the store to refuse, and not every store does (Ceph 16.2, MinIO). Where it obeys an unsigned `x-amz-copy-source`, whoever
 * may put a chunk has the store copy into it whatever the signer can read, in any bucket. So that is tried before anything is signed for anybody:
 * first with a signature that forbids it (`s3-locked-signer.ts`), then with the SDK's, for stores that refuse it by themselves.
 */
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { type Digest, newUploadId } from '../core/ids.ts'
import type { SignedPut } from './chunk-store.ts'
import { copySource, type S3Bucket } from './s3-bucket.ts'
import type { S3Log } from './s3-capabilities.ts'
import { judgeS3Error, nameS3Error, saysLater } from './s3-faults.ts'
import { createLateSigner } from './s3-late-signer.ts'
import type { S3Location } from './s3-location.ts'
import { createLockedSigner } from './s3-locked-signer.ts'

const CHECKSUM = 'x-amz-checksum-sha256'
/** Each request of the probe: some bytes. */
const PROBE_LIMIT_MS = 5_000
const PROBE_SECONDS = 60
const PROBE = Buffer.from('Oriel tries what a signed request allows. Safe to remove.\n')

/** Signs the put of an object of `bytes`, for `seconds`. Some 0.5 ms of CPU (measured here); no call of the store. */
export type SignPut = (key: string, bytes: number, digest: Digest | undefined, seconds: number) => Promise<SignedPut>

/** The same, given the headers that are to be sent; their names in lower case. */
export type SignUrl = (
  key: string,
  bytes: number,
  headers: Readonly<Record<string, string>>,
  seconds: number,
) => Promise<string>

/** Asked for each request: they may be replaced. */
export type Credentials = () => Promise<{
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}>

export interface Signer {
  readonly sign: SignPut
  /** How long what is signed now is good for, of `seconds`: with credentials for a time it ends with them. */
  lasts(seconds: number): Promise<number>
}

/**
 * @param credentials that sign.
 * @param retryMs see `createLateSigner`.
 * @returns undefined where nothing may be signed: objects are to be encrypted as configured, and a client's put would not be; the store
 * obeys what is not signed, cannot be forbidden to, and the signer may read; the store refuses to be tried. The latter two are logged. While the store does not answer nobody
 * knows: then a signer that signs as soon as it is known.
 */
export const openSigner = async (
  location: S3Location,
  credentials: Credentials,
  bucket: ProbedBucket,
  log: S3Log,
  retryMs?: number,
): Promise<Signer | undefined> => {
  if (location.encryption.kind !== 'none') return undefined
  const name = `the S3 bucket ${location.bucket}`
  const attempt = () =>
    trySigning(location, credentials, bucket, log).catch((error: unknown) => {
      if (judgeS3Error(error) !== 'refused') throw error
      log.warn({ err: error }, `${name} refuses to be tried (${nameS3Error(error)}): ${NO_PARTS}`)
      return undefined
    })
  try {
    return await attempt()
  } catch (error) {
    const why = `what a signed request allows is not known (${nameS3Error(error)})`
    log.warn({ err: error }, `${name}: ${why}: ${NO_PARTS} until it is`)
    const attemptLate = async () => {
      const signer = await attempt()
      if (signer) log.info(`${name}: clients get parts from now on`)
      return signer
    }
    return createLateSigner(attemptLate, retryMs)
  }
}

type ProbedBucket = Pick<S3Bucket, 'put' | 'removeAll'>

/** @throws what the store said to a put of our own; Error when it says "later" to what is signed, so that nobody knows. */
const trySigning = async (
  location: S3Location,
  credentials: Credentials,
  bucket: ProbedBucket,
  log: S3Log,
): Promise<Signer | undefined> => {
  const root = `${location.prefix}sessions/${newUploadId()}/`
  const [source, copied, put] = [`${root}probe`, `${root}copied`, `${root}put`] as const
  const name = `the S3 bucket ${location.bucket}`
  try {
    await bucket.put(source, PROBE)
    const outcomes: Outcome[] = []
    for (const create of location.endpoint === undefined ? [createPlain] : [createLocked, createPlain]) {
      // From here, so at the store's own address.
      const sign = withChecksum(create(location, credentials, location.endpoint))
      const plain = await send(sign, put, {})
      const smuggled = await send(sign, copied, { 'x-amz-copy-source': copySource(location.bucket, source) })
      if (plain < 300 && smuggled >= 400 && !saysLater(smuggled))
        return {
          sign: withChecksum(create(location, credentials, location.publicEndpoint ?? location.endpoint)),
          lasts: createLasts(credentials),
        }
      outcomes.push({ plain, smuggled })
    }
    const later = outcomes.find(({ plain, smuggled }) => saysLater(plain) || saysLater(smuggled))
    if (later) throw new Error(`it answers ${later.plain}, and ${later.smuggled} to what is not signed`)
    log.warn({ outcomes }, `${name} ${outcomes.some(({ smuggled }) => smuggled < 300) ? OBEYS : REFUSES}`)
  } finally {
    // What stays belongs to no session, so the walk over them removes it.
    await bucket.removeAll([source, copied, put]).catch(() => undefined)
  }
  return undefined
}

/** Statuses of a signed put, and of one to which a header was added that would make it a copy. */
interface Outcome {
  readonly plain: number
  readonly smuggled: number
}

const NO_PARTS = 'clients get no parts to put into the store themselves'
const OBEYS = `obeys headers that are not signed: ${NO_PARTS}, unless ORIEL_PARTS_KEY may put and not read`
const REFUSES = `does not take signed puts as it should: ${NO_PARTS}`

const send = async (sign: SignPut, key: string, unsigned: Record<string, string>): Promise<number> => {
  const { url, headers } = await sign(key, PROBE.length, undefined, PROBE_SECONDS)
  const signal = AbortSignal.timeout(PROBE_LIMIT_MS)
  const answer = await fetch(url, { method: 'PUT', headers: { ...headers, ...unsigned }, body: PROBE, signal })
  await answer.body?.cancel()
  return answer.status
}

const withChecksum =
  (signUrl: SignUrl): SignPut =>
  async (key, bytes, digest, seconds) => {
    const headers: Record<string, string> = digest ? { [CHECKSUM]: Buffer.from(digest, 'hex').toString('base64') } : {}
    return { url: await signUrl(key, bytes, headers, seconds), headers }
  }

const createLasts =
  (credentials: Credentials): Signer['lasts'] =>
  async (seconds) => {
    const { expiration } = await credentials()
    // At least one second: the store refuses what expires at once.
    return expiration ? Math.max(1, Math.min(seconds, Math.floor((expiration.getTime() - Date.now()) / 1000))) : seconds
  }

/** @param origin under which the store is asked; undefined: AWS. */
type CreateSigner = (location: S3Location, credentials: Credentials, origin: string | undefined) => SignUrl

const createLocked: CreateSigner = (location, credentials, origin = '') =>
  createLockedSigner({ ...location, origin, credentials })

const createPlain: CreateSigner = ({ bucket, region, forcePathStyle }, credentials, endpoint) => {
  // It only signs: it never connects.
  const client = new S3Client({
    region,
    forcePathStyle,
    credentials,
    ...(endpoint !== undefined && { endpoint }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
  })
  return (key, bytes, { [CHECKSUM]: checksum }, seconds) => {
    const command = new PutObjectCommand({
      Bucket: bucket,
      Key: key,
      ContentLength: bytes,
      ...(checksum && { ChecksumSHA256: checksum }),
    })
    return getSignedUrl(client, command, {
      expiresIn: seconds,
      signableHeaders: new Set(['host', 'content-length', CHECKSUM]),
      // In the query a store signs it and compares nothing (aws-sdk-js-v3 issue 4448).
      unhoistableHeaders: new Set([CHECKSUM]),
    })
  }
}
