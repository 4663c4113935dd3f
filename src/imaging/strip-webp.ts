/** WebP reduced to its pictures and frames (RFC 9649 §2). */
const KEPT = new Set(['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF'])
/** What may stand inside a frame; ANMF begins with 16 bytes of its own. */
const KEPT_IN_FRAME = new Set(['VP8 ', 'VP8L', 'ALPH'])
const FRAME_HEADER_BYTES = 16
/** VP8X flags (§2.7): all but alpha (0x10) and animation (0x02) announce chunks that are dropped. */
const KEPT_FLAGS = 0x12

interface Chunk {
  readonly type: string
  /** Without the padding byte. */
  readonly payload: Buffer
}

const readChunks = (bytes: Buffer): Chunk[] | undefined => {
  const chunks: Chunk[] = []
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4)
    if (at + 8 + length > bytes.length) return undefined
    chunks.push({ type: bytes.toString('latin1', at, at + 4), payload: bytes.subarray(at + 8, at + 8 + length) })
    at += 8 + length + (length % 2)
  }
  return chunks
}

const writeChunk = ({ type, payload }: Chunk): Buffer => {
  const head = Buffer.alloc(8)
  head.write(type, 'latin1')
  head.writeUInt32LE(payload.length, 4)
  return Buffer.concat([head, payload, Buffer.alloc(payload.length % 2)])
}

const stripFrame = (payload: Buffer): Buffer | undefined => {
  const inside = readChunks(payload.subarray(FRAME_HEADER_BYTES))
  const kept = inside?.filter(({ type }) => KEPT_IN_FRAME.has(type)).map(writeChunk)
  return kept && Buffer.concat([payload.subarray(0, FRAME_HEADER_BYTES), ...kept])
}

const stripChunk = ({ type, payload }: Chunk): Chunk | undefined => {
  if (type === 'ANMF') {
    const frame = stripFrame(payload)
    return frame && { type, payload: frame }
  }
  if (type !== 'VP8X') return { type, payload }
  const header = Buffer.from(payload)
  header[0] = (header[0] ?? 0) & KEPT_FLAGS
  return { type, payload: header }
}

export const stripWebp = (bytes: Buffer): Buffer | undefined => {
  if (bytes.length < 12 || bytes.toString('latin1', 8, 12) !== 'WEBP') return undefined
  const chunks = readChunks(bytes.subarray(12, 8 + bytes.readUInt32LE(4)))
  if (!chunks) return undefined
  const kept = chunks.filter(({ type }) => KEPT.has(type)).map(stripChunk)
  const body = Buffer.concat(kept.flatMap((chunk) => (chunk ? [writeChunk(chunk)] : [])))
  const head = Buffer.from('RIFF\0\0\0\0WEBP', 'latin1')
  head.writeUInt32LE(body.length + 4, 4)
  return Buffer.concat([head, body])
}
