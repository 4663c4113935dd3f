/**
 * One variant as one file: magic, length of the facts (4 bytes, big-endian), the facts as JSON, the picture's bytes.
 * Read back it is whole and unchanged or it is nothing: files are written without fsync, so after a power cut one may be torn.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { OUTPUT_FORMATS } from '../core/image.ts'
import type { Variant } from '../core/variant.ts'

const MAGIC = Buffer.from('OVR1')
const HEADER_BYTES = MAGIC.length + 4

const Facts = z.object({
  format: z.enum(OUTPUT_FORMATS),
  width: z.int().positive(),
  height: z.int().positive(),
  pages: z.int().positive(),
  sha256: z.string(),
  generation: z.int().nonnegative(),
})

/** The file's two parts in order, for one gathered write without copying the picture. */
export const formatVariantFile = (variant: Variant): readonly [head: Uint8Array, picture: Uint8Array] => {
  const facts = JSON.stringify(variant.facts)
  const factsBytes = Buffer.byteLength(facts)
  // Not from Buffer's pool: handed to a thread, a slice would take the whole pool along.
  const head = Buffer.allocUnsafeSlow(HEADER_BYTES + factsBytes)
  MAGIC.copy(head)
  head.writeUInt32BE(factsBytes, MAGIC.length)
  head.write(facts, HEADER_BYTES)
  return [head, variant.bytes]
}

/** Undefined for anything but a whole file whose bytes hash to the SHA-256 in its facts. */
export const parseVariantFile = (file: Buffer<ArrayBuffer>): Variant | undefined => {
  if (file.length < HEADER_BYTES || !file.subarray(0, MAGIC.length).equals(MAGIC)) return undefined
  const end = HEADER_BYTES + file.readUInt32BE(MAGIC.length)
  if (end > file.length) return undefined
  const facts = Facts.safeParse(parseJson(file.toString('utf8', HEADER_BYTES, end)))
  if (!facts.success) return undefined
  const bytes = file.subarray(end)
  return createHash('sha256').update(bytes).digest('base64') === facts.data.sha256
    ? { bytes, facts: facts.data }
    : undefined
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
