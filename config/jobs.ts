/** What is done after the answer: the scanner's address, the variants that are rendered ahead, and the secret of what an application is told. */
import { z } from 'zod'
import type { ClamdAddress } from '../src/jobs/clamd.ts'

/** `tcp://host:port`, or `unix:///path/of/socket`. */
export const clamd = z.string().transform((text, context): ClamdAddress => {
  const tcp = /^tcp:\/\/(\[[0-9a-f:]+\]|[\w.-]+):(\d{1,5})$/i.exec(text)
  if (tcp?.[1] && Number(tcp[2]) > 0 && Number(tcp[2]) < 65_536)
    return { host: tcp[1].replace(/^\[|\]$/g, ''), port: Number(tcp[2]) }
  const path = /^unix:\/\/(\/.+)$/.exec(text)?.[1]
  if (path !== undefined) return { path }
  context.addIssue('an address such as tcp://host:3310 or unix:///run/clamav/clamd.ctl')
  return z.NEVER
})

/** More would be a render farm: each upload renders all of them. */
const MAX_PREWARMED = 16

/** Ends of image URLs, comma-separated: `320x.webp,@thumb.avif`. What they mean is judged by delivery at start. */
export const prewarm = z.string().transform((text, context): readonly string[] => {
  const tails = text.split(',').map((tail) => tail.trim())
  if (tails.length > MAX_PREWARMED) context.addIssue(`at most ${MAX_PREWARMED}`)
  const wrong = tails.find((tail) => !/^(\d{0,4}x\d{0,4}|@[\w-]{1,64})\.[a-z]{3,4}(\?[\w=&.,:-]*)?$/.test(tail))
  if (wrong !== undefined) context.addIssue(`${JSON.stringify(wrong)} is no end of an image URL such as 320x.webp`)
  return tails
})

/** As Standard Webhooks writes them: 24 to 64 random bytes in base64 behind `whsec_`. What is wrong is not repeated. */
export const webhookSecret = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'whsec_ and the base64 of 24 to 64 bytes')
  .transform((text) => Buffer.from(text.slice('whsec_'.length), 'base64'))
  .refine((secret) => secret.length >= 24 && secret.length <= 64, 'whsec_ and the base64 of 24 to 64 bytes')
