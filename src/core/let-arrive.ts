/** For whoever sends to a peer that may answer and hang up before it has read all. */
import { setImmediate } from 'node:timers/promises'

/**
 * Resolves after one whole round of the event loop, in which everything that had arrived is read. A peer that answers and closes with
 * unread bytes resets the connection (RFC 9293 §3.6); a write after that fails, and Node then drops the answer that lies in the kernel's buffer.
 * To be awaited before each write of a long body. Two turns: the first may end a round that had passed our socket already.
 */
export const letArrive = async (): Promise<void> => {
  await setImmediate()
  await setImmediate()
}
