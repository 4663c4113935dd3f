/** The body of one tus request, written and acknowledged a piece at a time: a cut costs the client one piece at most. */
import type { ChunkStore } from '../blobs/chunk-store.ts'
import type { Piece, UploadSession } from '../core/upload-session.ts'
import type { Admission } from './admission.ts'
import type { PieceRows } from './piece-rows.ts'
import type { ChecksumCheck } from './tus-checksum.ts'

export interface TusReceivePorts {
  readonly chunks: ChunkStore
  readonly rows: PieceRows
  readonly admission: Admission
}

/** tus 1.0, checksum: 460 "Checksum Mismatch". As `@tus/server` throws its own. */
const MISMATCH = { status_code: 460, body: 'Checksum Mismatch\n' }

/**
 * What a source had before it failed counts, unless a checksum was promised: then all of it counts, or nothing.
 * @returns the offset after the last acknowledged byte. @throws what the source threw, after its bytes are safe; 460; AppErrors.
 */
export const receiveTus = async (
  { chunks, rows, admission }: TusReceivePorts,
  session: UploadSession,
  offset: number,
  source: AsyncIterable<Uint8Array>,
  check: ChecksumCheck | undefined,
): Promise<number> => {
  using _place = admission.enter(session.ownerId, Math.min(session.chunkBytes, session.bytes - offset))
  const cutter = createCutter(source, check)
  const held: Piece[] = []
  let at = offset
  while (!cutter.ended()) {
    const place = { offset: at, maxBytes: session.chunkBytes, totalBytes: session.bytes }
    // Ends with its source, which has a limit of its own: a client that left has sent bytes worth keeping.
    const { bytes, digest } = await chunks.write(session.id, place, cutter.piece(session.chunkBytes), NEVER)
    if (bytes === 0) break
    const piece = { offset: at, bytes, digest }
    if (check) held.push(piece)
    else await rows.append(session, piece)
    at += bytes
  }
  cutter.assertUnhurt()
  if (check && !check.matches()) throw MISMATCH
  for (const piece of held) await rows.append(session, piece)
  return at
}

const NEVER = new AbortController().signal

/** One source as several, each of `maxBytes` at most. A fault of the source ends the piece, and is told afterwards. */
const createCutter = (source: AsyncIterable<Uint8Array>, check: ChecksumCheck | undefined) => {
  const chunks = source[Symbol.asyncIterator]()
  let rest: Uint8Array = new Uint8Array()
  let ended = false
  let fault: { readonly cause: unknown } | undefined

  const next = async (): Promise<boolean> => {
    try {
      const step = await chunks.next()
      if (!step.done) {
        check?.see(step.value)
        rest = step.value
        return true
      }
    } catch (cause) {
      fault = { cause }
    }
    ended = true
    return false
  }

  return {
    ended: () => ended,
    assertUnhurt: () => {
      if (fault) throw fault.cause
    },
    piece: async function* (maxBytes: number): AsyncGenerator<Uint8Array> {
      for (let left = maxBytes; left > 0; ) {
        if (rest.byteLength === 0 && !(await next())) return
        const part = rest.subarray(0, left)
        rest = rest.subarray(part.byteLength)
        left -= part.byteLength
        yield part
      }
    },
  }
}
