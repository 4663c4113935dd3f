/**
 * Branded identifiers and their only makers. A raw string from outside becomes one of these at the edge or is refused there.
 */
import { randomFillSync } from 'node:crypto'
import { AppError } from './errors.ts'

declare const brand: unique symbol
type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** SHA-256 of an original's bytes: 64 lower-case hexadecimal digits. */
export type Digest = Brand<string, 'Digest'>
/** One owner's reference to an original. */
export type AssetId = Brand<string, 'AssetId'>
/** One resumable upload. */
export type UploadId = Brand<string, 'UploadId'>
/** Who owns assets: the account behind an API key. */
export type OwnerId = Brand<string, 'OwnerId'>
/** `<digest>/<recipe and canonical transform>`: names one variant's bytes, safe as a file path and as an object key. */
export type VariantKey = Brand<string, 'VariantKey'>

const DIGEST = /^[0-9a-f]{64}$/
const ASSET_ID = /^a_[0-9A-Za-z_-]{22}$/
const UPLOAD_ID = /^u_[0-9A-Za-z_-]{22}$/
const OWNER_ID = /^[a-z0-9][a-z0-9_.-]{0,63}$/

export const isDigest = (text: string): text is Digest => DIGEST.test(text)

/** @throws AppError `bad-request` naming the text when it is not 64 lower-case hexadecimal digits. */
export const parseDigest = (text: string): Digest => {
  if (!isDigest(text)) throw new AppError('bad-request', `not a SHA-256 in 64 lower-case hex digits: ${quote(text)}`)
  return text
}

export const isAssetId = (text: string): text is AssetId => ASSET_ID.test(text)

/** @throws AppError `not-found`: an id of the wrong shape names nothing. */
export const parseAssetId = (text: string): AssetId => {
  if (!isAssetId(text)) throw new AppError('not-found', `no asset ${quote(text)}`)
  return text
}

/**
 * A new asset id: 16 bytes in 22 base64url characters. 80 random bits, so that ids can be neither guessed nor enumerated, behind the
 * milliseconds since 1970 in 48: ids of one time are neighbours in every index that has them, so that a batch of uploads writes one
 * page of each and not one for every row (a quarter of what its transaction costs).
 */
export const newAssetId = (): AssetId => {
  const at = nextRandom()
  random.writeUIntBE(Date.now(), at, TIME_BYTES)
  return `a_${textAt(at)}` as AssetId
}

/** 128 random bits. */
export const newUploadId = (): UploadId => `u_${textAt(nextRandom())}` as UploadId

/** Where in `random` the bytes of a new id are. */
const nextRandom = (): number => {
  if (randomAt === RANDOM_BYTES) {
    randomFillSync(random)
    randomAt = 0
  }
  randomAt += ID_BYTES
  return randomAt - ID_BYTES
}

const textAt = (at: number): string => random.toString('base64url', at, at + ID_BYTES)

const TIME_BYTES = 6

const ID_BYTES = 16
/** Drawn for 256 ids at once: a call of the generator costs more than the bytes. */
const RANDOM_BYTES = 256 * ID_BYTES
const random = Buffer.alloc(RANDOM_BYTES)
let randomAt = RANDOM_BYTES

export const isUploadId = (text: string): text is UploadId => UPLOAD_ID.test(text)

/** @throws AppError `not-found`: an id of the wrong shape names nothing. */
export const parseUploadId = (text: string): UploadId => {
  if (!isUploadId(text)) throw new AppError('not-found', `no upload session ${quote(text)}`)
  return text
}

/** @throws AppError `bad-request` unless 1–64 characters of `a-z 0-9 _ . -`, the first a letter or digit. */
export const parseOwnerId = (text: string): OwnerId => {
  if (!OWNER_ID.test(text)) throw new AppError('bad-request', `not an owner id: ${quote(text)}`)
  return text as OwnerId
}

/** `name` is canonical text made by our own code: `[a-z0-9.,_-]` only, at most 190 characters: a file named by both has 255. */
export const variantKey = (digest: Digest, name: string): VariantKey => `${digest}/${name}` as VariantKey

/** A key read back from a directory listing or an object listing; undefined when it was not ours. */
export const parseVariantKey = (text: string): VariantKey | undefined =>
  /^[0-9a-f]{64}\/[a-z0-9.,_-]{1,190}$/.test(text) ? (text as VariantKey) : undefined

export const digestOf = (key: VariantKey): Digest => key.slice(0, 64) as Digest

/** Text from outside, quoted for a message: bounded, so that an error never echoes a megabyte. */
export const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
