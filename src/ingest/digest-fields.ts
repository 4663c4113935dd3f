/** `Content-Digest` and `Repr-Digest` of a request (RFC 9530): parsed strictly, checked against the bytes as they pass. */
import { createHash, type Hash } from 'node:crypto'
import { AppError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** RFC 9530 §5: the two active algorithms. Others may be sent and are ignored. */
const ALGORITHMS = { 'sha-256': { node: 'sha256', bytes: 32 }, 'sha-512': { node: 'sha512', bytes: 64 } } as const
type Algorithm = keyof typeof ALGORITHMS

/** One member of a dictionary of byte sequences (RFC 8941 §3.2, §3.3.5), parameters allowed and ignored. */
const MEMBER = /^([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[ ]*[a-z*][a-z0-9_.*-]*(?:=[^;,]*)?)*$/

/**
 * Expected hashes by algorithm; where a key is repeated the last counts (RFC 8941 §4.2.2).
 * @throws AppError `bad-request` naming the member that is not `algorithm=:base64:`, or whose length is wrong.
 */
export const parseDigestField = (field: string): ReadonlyMap<Algorithm, Buffer> => {
  const digests = new Map<Algorithm, Buffer>()
  for (const member of field.split(',').map((text) => text.trim())) {
    const [, name, base64] = MEMBER.exec(member) ?? []
    if (name === undefined || base64 === undefined)
      throw new AppError('bad-request', `a digest field has algorithm=:base64:, not ${quote(member)}`)
    if (!isAlgorithm(name)) continue
    const value = Buffer.from(base64, 'base64')
    if (value.length !== ALGORITHMS[name].bytes)
      throw new AppError('bad-request', `${name} has ${ALGORITHMS[name].bytes} bytes, not ${value.length}`)
    digests.set(name, value)
  }
  return digests
}

const isAlgorithm = (name: string): name is Algorithm => Object.hasOwn(ALGORITHMS, name)

export interface DigestCheck {
  /** Takes the body's bytes in order. */
  see(chunk: Uint8Array): void
  /** @throws AppError `bad-request` when the body was another than a field said. Once, after the last byte. */
  verify(): void
}

/** Checks every given field. A request carries no content coding here, so both fields speak of the same bytes. */
export const createDigestCheck = (fields: readonly (string | undefined)[]): DigestCheck => {
  const expected = fields.flatMap((field) => (field === undefined ? [] : [...parseDigestField(field)]))
  const hashes = new Map<Algorithm, Hash>(
    expected.map(([algorithm]) => [algorithm, createHash(ALGORITHMS[algorithm].node)]),
  )
  return {
    see: (chunk) => {
      for (const hash of hashes.values()) hash.update(chunk)
    },
    verify: () => {
      const actual = new Map([...hashes].map(([algorithm, hash]) => [algorithm, hash.digest()]))
      for (const [algorithm, value] of expected) {
        const got = actual.get(algorithm)
        if (got && !got.equals(value))
          throw new AppError('bad-request', `the body's ${algorithm} is :${got.toString('base64')}:, not as was sent`)
      }
    },
  }
}
