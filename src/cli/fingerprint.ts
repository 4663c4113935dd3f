/** Hashes of files, read in pieces: memory is the same for a thumbnail and for 50 GB. */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { FileFault, reasonOf } from './file-part.ts'

/** 1 MiB: on two cores larger pieces hash no faster. */
const PIECE_BYTES = 1024 * 1024

export interface Part {
  readonly offset: number
  /** To the end of the file, where it is undefined. */
  readonly bytes: number | undefined
}

const WHOLE: readonly Part[] = [{ offset: 0, bytes: undefined }]

/** @throws FileFault; the signal's reason. */
const digest = async (path: string, parts: readonly Part[], into: Hash | Hmac, signal: AbortSignal) => {
  let total = 0
  try {
    await using handle = await open(path)
    const buffer = Buffer.allocUnsafe(PIECE_BYTES)
    for (const { offset, bytes = Number.POSITIVE_INFINITY } of parts)
      for (let done = 0; done < bytes; ) {
        signal.throwIfAborted()
        const { bytesRead } = await handle.read(buffer, 0, Math.min(PIECE_BYTES, bytes - done), offset + done)
        if (bytesRead === 0) break
        into.update(buffer.subarray(0, bytesRead))
        done += bytesRead
        total += bytesRead
      }
  } catch (cause) {
    signal.throwIfAborted()
    throw new FileFault(reasonOf(cause), { cause })
  }
  return { digest: into.digest(), bytes: total }
}

export interface Fingerprint {
  /** 64 lower-case hex digits. */
  readonly sha256: string
  readonly bytes: number
}

/** @throws FileFault; the signal's reason. */
export const fingerprint = async (path: string, signal: AbortSignal): Promise<Fingerprint> => {
  const result = await digest(path, WHOLE, createHash('sha256'), signal)
  return { sha256: result.digest.toString('hex'), bytes: result.bytes }
}

/** Another one later: the file was written to meanwhile. Undefined where it cannot be looked at. */
export const stampOf = async (path: string): Promise<string | undefined> => {
  const stats = await stat(path, { bigint: true }).catch(() => undefined)
  return stats && `${stats.ino} ${stats.size} ${stats.mtimeNs}`
}

/** SHA-256 of a part, as the value of `Content-Digest` (RFC 9530). */
export const contentDigest = async (path: string, part: Part, signal: AbortSignal): Promise<string> => {
  const result = await digest(path, [part], createHash('sha256'), signal)
  return `sha-256=:${result.digest.toString('base64')}:`
}

/** The answer to a challenge of `POST /assets/precheck`: HMAC-SHA256 under its nonce, in hex. */
export const possessionProof = async (
  path: string,
  nonce: string,
  parts: readonly Part[] | undefined,
  signal: AbortSignal,
): Promise<string> => (await digest(path, parts ?? WHOLE, createHmac('sha256', nonce), signal)).digest.toString('hex')
