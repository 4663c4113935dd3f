/**
 * The spool's format: a frame of events, 16 bytes each, with the texts that they share written once. As lines of text an event
 * took 217 bytes, and writing and syncing those was most of what recording cost a hot hit (2–3 µs of 24, measured).
 *
 * Little-endian: magic u32 · CRC-32 of all that follows u32 · first event in Unix ms f64 · rows u32 · bytes of the clients'
 * texts u32 · of the subjects' u32 · rows (ms since the first event, µs it took, client, subject: u32 each) · the texts in
 * ASCII, a line each.
 */
import { crc32 } from 'node:zlib'

export const FRAME_HEADER_BYTES = 28
/** Numbers in a row. */
export const ROW_WORDS = 4
export const ROW_BYTES = ROW_WORDS * 4
/** "OEF1" */
const MAGIC = 0x3146_454f
const CRC_FROM = 8

export interface Frame {
  /** Unix milliseconds. */
  readonly baseMs: number
  readonly rows: number
  /** `ROW_WORDS` numbers a row, in the order of the format. */
  readonly words: Uint32Array
  /** Texts in the order of their numbers, each ended by a newline and without any other. ASCII. */
  readonly clients: string
  readonly subjects: string
}

/** One allocation, filled: ready to be written. */
export const encodeFrame = ({ baseMs, rows, words, clients, subjects }: Frame): Buffer<ArrayBuffer> => {
  const rowBytes = rows * ROW_BYTES
  const frame = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + rowBytes + clients.length + subjects.length)
  frame.writeUInt32LE(MAGIC, 0)
  frame.writeDoubleLE(baseMs, CRC_FROM)
  frame.writeUInt32LE(rows, 16)
  frame.writeUInt32LE(clients.length, 20)
  frame.writeUInt32LE(subjects.length, 24)
  // As they are in memory: every platform that Node runs on is little-endian, but s390x and AIX, which we do not serve.
  frame.set(new Uint8Array(words.buffer, words.byteOffset, rowBytes), FRAME_HEADER_BYTES)
  frame.write(clients, FRAME_HEADER_BYTES + rowBytes, 'latin1')
  frame.write(subjects, FRAME_HEADER_BYTES + rowBytes + clients.length, 'latin1')
  frame.writeUInt32LE(crc32(frame.subarray(CRC_FROM)), 4)
  return frame
}

/**
 * The whole and sound frames at the start of `bytes`, each with the place where it ends. Stops without a word at the first
 * that is neither: what a crash cut short.
 */
export function* decodeFrames(bytes: Buffer): Generator<Frame & { readonly end: number }> {
  for (let start = 0; bytes.length - start >= FRAME_HEADER_BYTES; ) {
    const rows = bytes.readUInt32LE(start + 16)
    const clientBytes = bytes.readUInt32LE(start + 20)
    const subjectBytes = bytes.readUInt32LE(start + 24)
    const textAt = start + FRAME_HEADER_BYTES + rows * ROW_BYTES
    const end = textAt + clientBytes + subjectBytes
    if (bytes.readUInt32LE(start) !== MAGIC || end > bytes.length) return
    if (crc32(bytes.subarray(start + CRC_FROM, end)) !== bytes.readUInt32LE(start + 4)) return
    // A copy: a view of numbers has to begin at a multiple of four.
    const rowBytes = Uint8Array.prototype.slice.call(bytes, start + FRAME_HEADER_BYTES, textAt)
    yield {
      baseMs: bytes.readDoubleLE(start + CRC_FROM),
      rows,
      words: new Uint32Array(rowBytes.buffer),
      clients: bytes.toString('latin1', textAt, textAt + clientBytes),
      subjects: bytes.toString('latin1', textAt + clientBytes, end),
      end,
    }
    start = end
  }
}
