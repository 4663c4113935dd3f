/** An upload of the next picture, and what its 201 says. */
import { ADMIN_KEY } from '../e2e/origin.ts'
import { ask, type Outcome } from './answers.ts'
import type { Library, Shown } from './library.ts'

export const AUTHORIZED = { Authorization: `Bearer ${ADMIN_KEY}` }

/** @returns the picture where it was acknowledged: what is shown of it from now on is judged. */
export const uploadNext = async (
  url: string,
  library: Pick<Library, 'next'>,
): Promise<{ readonly outcome: Outcome; readonly shown: Shown | undefined }> => {
  const { bytes, colour } = await library.next()
  const headers = { ...AUTHORIZED, 'Content-Type': 'image/jpeg' }
  const outcome = await ask(`${url}/assets/upload`, { method: 'POST', headers, body: bytes })
  if (outcome.kind !== 'answer' || outcome.answer.status !== 201) return { outcome, shown: undefined }
  const { id, hash } = JSON.parse(outcome.answer.body.toString()) as { readonly id: string; readonly hash: string }
  return { outcome, shown: { id, hash, colour } }
}
