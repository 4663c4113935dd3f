/** Bytes of a body, told as they go; what an attempt that failed has sent is taken back. */
import { type Answer, type Call, type Client, NoAnswer, type SignedPut } from './client.ts'
import type { FilePart } from './file-part.ts'

/** A call whose body's bytes are told as they go. @throws as `Client.call`. */
export const sendCounted = (
  client: Client,
  call: Call,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Answer> => counted((onBytes) => client.call({ ...call, onSent: onBytes }, signal), onSent)

/** @returns whether the store took it. @throws FileFault; the signal's reason. */
export const putCounted = async (
  client: Client,
  signed: SignedPut,
  file: FilePart,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<boolean> => {
  try {
    const answer = await counted((onBytes) => client.put(signed, { file, onSent: onBytes }, signal), onSent)
    return answer.status < 300
  } catch (error) {
    if (error instanceof NoAnswer) return false
    throw error
  }
}

const counted = async (
  send: (onBytes: (bytes: number) => void) => Promise<Answer>,
  onSent: (bytes: number) => void,
): Promise<Answer> => {
  let sent = 0
  try {
    const answer = await send((bytes) => {
      sent += bytes
      onSent(bytes)
    })
    if (answer.status >= 300) onSent(-sent)
    return answer
  } catch (error) {
    onSent(-sent)
    throw error
  }
}
