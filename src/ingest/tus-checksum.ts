/** `Upload-Checksum` (tus 1.0, checksum), which `@tus/server` does not have: of the bytes of one request. */
import { createHash } from 'node:crypto'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** SHA-1 because the protocol demands it, MD5 because clients have it. They find damage, not malice. */
export const CHECKSUM_ALGORITHMS = ['sha1', 'sha256', 'md5'] as const

const CHECKSUM = /^([a-z0-9]+) ([A-Za-z0-9+/]{16,128}={0,2})$/

export interface ChecksumCheck {
  see(chunk: Uint8Array): void
  /** Once, after the last byte. */
  matches(): boolean
}

/** @throws AppError `bad-request` for an algorithm that is not known, and what is not `algorithm base64`. */
export const createChecksumCheck = (field: string): ChecksumCheck => {
  const [, name, base64 = ''] = CHECKSUM.exec(field) ?? []
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => known === name)
  if (!algorithm)
    throw new AppError(
      'bad-request',
      `upload-checksum: algorithm and base64, with one of ${CHECKSUM_ALGORITHMS.join(', ')}, not ${quote(field)}`,
    )
  const hash = createHash(algorithm)
  return {
    see: (chunk) => void hash.update(chunk),
    matches: () => hash.digest().equals(Buffer.from(base64, 'base64')),
  }
}
