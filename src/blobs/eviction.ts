/** Which variants go when the budget is full: the longest unused ones, found in constant memory whatever their number. */
import { rm } from 'node:fs/promises'
import { walkFiles } from './folders.ts'

/**
 * Ages are counted in buckets of equal ratio: `floor(ln(1 + seconds) × 256)`, so 0.4 % precise at every age. Ten years
 * (3.2e8 s) fall in bucket 5,016; 8,192 buckets of 8 bytes are 64 KB, for ten files as for a hundred million.
 */
const BUCKETS = 8192
const BUCKETS_PER_E = 256

const bucketOf = (ageMs: number): number =>
  Math.min(BUCKETS - 1, Math.floor(Math.log1p(Math.max(0, ageMs) / 1000) * BUCKETS_PER_E))

export interface VariantTotals {
  readonly files: number
  readonly bytes: number
}

/** Counts what is stored. */
export const countVariants = async (root: string): Promise<VariantTotals> => {
  let [files, bytes] = [0, 0]
  for await (const file of walkFiles(root)) {
    files += 1
    bytes += file.bytes
  }
  return { files, bytes }
}

/**
 * Removes the least recently used files until at most `targetBytes` remain. Two walks: the first finds the age at which
 * the target is met, the second removes what is older, and of that very age only as much as is needed.
 */
export const evictVariants = async (
  root: string,
  targetBytes: number,
): Promise<{ left: VariantTotals; evicted: number }> => {
  const now = Date.now()
  const byAge = new Float64Array(BUCKETS)
  let [files, bytes] = [0, 0]
  for await (const file of walkFiles(root)) {
    const bucket = bucketOf(now - file.modifiedAt.getTime())
    byAge[bucket] = (byAge[bucket] ?? 0) + file.bytes
    files += 1
    bytes += file.bytes
  }
  const edge = edgeBucket(byAge, bytes - targetBytes)
  let evicted = 0
  for await (const file of walkFiles(root)) {
    if (bytes <= targetBytes) break
    const bucket = bucketOf(now - file.modifiedAt.getTime())
    if (bucket < edge.bucket || (bucket === edge.bucket && edge.excess <= 0)) continue
    if (bucket === edge.bucket) edge.excess -= file.bytes
    await rm(file.path, { force: true })
    bytes -= file.bytes
    files -= 1
    evicted += 1
  }
  return { left: { files, bytes }, evicted }
}

/** Removes files that were last used before that. */
export const expireVariants = async (root: string, before: Date): Promise<VariantTotals> => {
  let [files, bytes] = [0, 0]
  for await (const file of walkFiles(root)) {
    if (file.modifiedAt >= before) continue
    await rm(file.path, { force: true })
    files += 1
    bytes += file.bytes
  }
  return { files, bytes }
}

/** The youngest bucket that has to give something, and how many bytes of it. */
const edgeBucket = (byAge: Float64Array, excessBytes: number): { bucket: number; excess: number } => {
  let excess = excessBytes
  for (let bucket = BUCKETS - 1; bucket >= 0; bucket--) {
    const held = byAge[bucket] ?? 0
    if (excess <= held) return { bucket, excess }
    excess -= held
  }
  return { bucket: 0, excess: Number.POSITIVE_INFINITY }
}
