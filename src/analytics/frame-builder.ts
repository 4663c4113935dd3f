/** A frame in the making: events added one by one, the texts they share kept once. */
import { encodeFrame, FRAME_HEADER_BYTES, ROW_BYTES, ROW_WORDS } from './frame.ts'

/** A text that many events share, and its number in the frame that it was last written to. */
export interface SharedText {
  /** ASCII, ended by a newline. */
  readonly text: string
  frame: number
  index: number
}

export const sharedText = (text: string): SharedText => ({ text, frame: 0, index: 0 })

export interface FrameBuilder {
  /** Events added since the last `take`, and the bytes that their frame would have. */
  readonly rows: number
  readonly bytes: number
  /**
   * Adds an event at `atMs` (Unix time) that took `micros`. `client` is ASCII, ended by a newline.
   * False when it does not fit into this frame: `take` first.
   */
  add(atMs: number, micros: number, client: string, subject: SharedText): boolean
  /** The frame so far, and a new one begun. */
  take(): Buffer<ArrayBuffer>
}

/** 64 KB of rows, 0.1 s of the fastest server. */
const FRAME_ROWS = 4096
/** Texts of one frame: 1,200 events that share nothing. */
const FRAME_TEXT_BYTES = 256 * 1024
const MAX_UINT32 = 2 ** 32 - 1

export const createFrameBuilder = (): FrameBuilder => {
  const words = new Uint32Array(FRAME_ROWS * ROW_WORDS)
  const clientIndexes = new Map<string, number>()
  let number = 1
  let rows = 0
  let baseMs = 0
  let [clients, subjects, subjectCount] = ['', '', 0]
  let [lastClient, lastClientIndex] = ['', 0]

  // Requests of one page and connection come in a row: to compare with the last is cheaper than to look up.
  const indexOfClient = (client: string): number => {
    if (client === lastClient) return lastClientIndex
    const known = clientIndexes.get(client)
    const index = known ?? clientIndexes.size
    if (known === undefined) {
      clientIndexes.set(client, index)
      clients += client
    }
    lastClient = client
    lastClientIndex = index
    return index
  }
  const indexOfSubject = (subject: SharedText): number => {
    if (subject.frame !== number) {
      subject.frame = number
      subject.index = subjectCount
      subjectCount += 1
      subjects += subject.text
    }
    return subject.index
  }
  /** A clock that was set back, or far ahead, begins a frame of its own. */
  const fits = (atMs: number): boolean =>
    rows === 0 ||
    (rows < FRAME_ROWS &&
      clients.length + subjects.length < FRAME_TEXT_BYTES &&
      atMs >= baseMs &&
      atMs - baseMs <= MAX_UINT32)

  return {
    get rows() {
      return rows
    },
    get bytes() {
      return FRAME_HEADER_BYTES + rows * ROW_BYTES + clients.length + subjects.length
    },
    add: (atMs, micros, client, subject) => {
      if (!fits(atMs)) return false
      if (rows === 0) baseMs = atMs
      const at = rows * ROW_WORDS
      words[at] = atMs - baseMs
      words[at + 1] = micros
      words[at + 2] = indexOfClient(client)
      words[at + 3] = indexOfSubject(subject)
      rows += 1
      return true
    },
    take: () => {
      const frame = encodeFrame({ baseMs, rows, words, clients, subjects })
      number += 1
      rows = 0
      clients = ''
      subjects = ''
      subjectCount = 0
      lastClient = ''
      clientIndexes.clear()
      return frame
    },
  }
}
