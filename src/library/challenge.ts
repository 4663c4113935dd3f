/**
 * Challenges of a proof of possession. Hashes are public (every page shows them in its URLs), so who knows one must not get the original
 * by it: the caller shows that he has the bytes, by an HMAC-SHA256 keyed with a nonce that he has never seen before.
 *
 * - Up to 16 MiB over the whole file. Nothing less than the whole file gives it (HMAC is a pseudo-random function of every byte), and
 *   nothing prepared before helps, since the key is fresh. We read the original once for it.
 * - Above, over 64 ranges of 64 KiB, one at a random place in each 64th of the file: 4 MiB whatever the size, or a stranger could make us
 *   read 50 GB. Who lacks a contiguous 1/32 of the file misses at least a whole stratum, so he fails; who lacks a share `f` scattered over
 *   it in pieces as large as a range passes with (1−f)^64: 4 % for a twentieth, one in a million for a fifth. To have most of a picture
 *   is to be able to see it, so this is no way to it for who cannot.
 * - The places are the same for one owner, hash and day, or he could ask for challenges until one lies in what he has. Only the nonce changes.
 * - Somebody who has the file may compute the proof for somebody who has not. He could as well hand him the file.
 *
 * A nonce carries its time and is signed for its owner, hash and size, so that any instance can check it and none has to remember
 * those that are never used; the used ones are rows (`metadata/once.ts`) until they would have expired.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Digest, OwnerId } from '../core/ids.ts'

const KIB = 1024
export const WHOLE_BYTES = 16 * KIB * KIB
const RANGES = 64
const RANGE_BYTES = 64 * KIB
/** To read 16 MiB and come back over a poor line. */
const LIFETIME_MS = 5 * 60_000
const DAY_MS = 24 * 60 * 60_000

/** Positions of the first and the last byte. */
export interface ChallengeRange {
  readonly start: number
  readonly end: number
}

export interface Challenge {
  /** Its UTF-8 text is the HMAC's key. */
  readonly nonce: string
  readonly expiresAt: Date
  /** What the HMAC is over, one after the other; undefined for the whole file. */
  readonly ranges: readonly ChallengeRange[] | undefined
}

/** What a challenge is for. */
export interface Claimed {
  readonly ownerId: OwnerId
  readonly digest: Digest
  readonly bytes: number
}

export interface Challenges {
  issue(claimed: Claimed, now: Date): Challenge
  /** The challenge that a nonce is of; undefined for one that is not ours, not for this, or too old. */
  read(nonce: string, claimed: Claimed, now: Date): Challenge | undefined
}

/** @param secrets shared by all instances; the first signs, all verify. */
export const createChallenges = (secrets: readonly [Buffer, ...Buffer[]]): Challenges => {
  const make = (secret: Buffer, payload: string, claimed: Claimed, expiresAt: number): Challenge => ({
    nonce: `${payload}.${sign(secret, payload, claimed)}`,
    expiresAt: new Date(expiresAt),
    ranges: rangesOf(secret, claimed, Math.floor(expiresAt / DAY_MS)),
  })
  return {
    issue: (claimed, now) => {
      const expiresAt = now.getTime() + LIFETIME_MS
      const payload = Buffer.alloc(22)
      randomBytes(16).copy(payload)
      payload.writeUIntBE(expiresAt, 16, 6)
      return make(secrets[0], payload.toString('base64url'), claimed, expiresAt)
    },
    read: (nonce, claimed, now) => {
      const [, payload = '', mac = ''] = /^([\w-]{30})\.([\w-]{43})$/.exec(nonce) ?? []
      const secret = secrets.find((one) => equal(mac, sign(one, payload, claimed)))
      if (!secret) return undefined
      const expiresAt = Buffer.from(payload, 'base64url').readUIntBE(16, 6)
      return expiresAt > now.getTime() ? make(secret, payload, claimed, expiresAt) : undefined
    },
  }
}

const sign = (secret: Buffer, payload: string, { ownerId, digest, bytes }: Claimed): string =>
  createHmac('sha256', secret).update(`nonce\n${ownerId}\n${digest}\n${bytes}\n${payload}`).digest('base64url')

/** Time tells nothing but the length. */
export const equal = (a: string, b: string): boolean => {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

const rangesOf = (
  secret: Buffer,
  { ownerId, digest, bytes }: Claimed,
  day: number,
): readonly ChallengeRange[] | undefined => {
  if (bytes <= WHOLE_BYTES) return undefined
  // At least 256 KiB, so a range fits into its stratum and none overlaps another.
  const stratum = Math.floor(bytes / RANGES)
  return Array.from({ length: RANGES }, (_, at) => {
    const random = createHmac('sha256', secret)
      .update(`range\n${ownerId}\n${digest}\n${bytes}\n${day}\n${at}`)
      .digest()
      .readUIntBE(0, 6)
    const start = at * stratum + (random % (stratum - RANGE_BYTES + 1))
    return { start, end: start + RANGE_BYTES - 1 }
  })
}
