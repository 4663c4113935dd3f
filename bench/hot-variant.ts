/** A variant of about 20 KB in Oriel's memory, and its answer as it goes over the wire: what hot tests ask for again and again. */
import { get, type IncomingMessage } from 'node:http'
import { LARGE, makeJpeg } from './jpegs.ts'
import { CHROME_HEADERS, getRequest } from './load/job.ts'
import type { Origin } from './origin.ts'
import type { BareAnswer } from './reference/bare-http.ts'

/** Steps of the ladder between which a photo's variant weighs about 20 KB in one format or the other. */
const WIDTHS = [256, 300, 320, 360, 384, 400, 480, 512, 540, 600, 640, 720, 800] as const
const TARGET_BYTES = 20 * 1024

/** node:http writes these itself, on the reference as on ours. */
const OWN_HEADERS = new Set(['date', 'connection', 'keep-alive'])

export interface HotRequest {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** The request as its bytes. */
  readonly text: string
  /** What Oriel answers once the variant is in memory. */
  readonly answer: BareAnswer
}

const fetchWhole = async (origin: Origin, path: string, headers: HotRequest['headers']): Promise<BareAnswer> => {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ host: '127.0.0.1', port: origin.port, path, headers }, resolve).once('error', reject)
  })
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const raw = response.rawHeaders
  const pairs = raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ''] as const] : []))
  const body = Buffer.concat(chunks)
  const { statusCode: status } = response
  if (status !== 200 && status !== 304) throw new Error(`${status} for ${path}: ${body.toString()}`)
  return { status, headers: pairs.filter(([name]) => !OWN_HEADERS.has(name.toLowerCase())).flat(), body }
}

const settle = async (origin: Origin, path: string, headers: HotRequest['headers']): Promise<HotRequest> => {
  await fetchWhole(origin, path, headers)
  const answer = await fetchWhole(origin, path, headers)
  return { path, headers, text: getRequest(path, headers), answer }
}

const nearest = async (origin: Origin, hash: string, extension: string, headers: HotRequest['headers']) => {
  const found: HotRequest[] = []
  for (const width of WIDTHS) found.push(await settle(origin, `/i/${hash}/${width}x.${extension}`, headers))
  const distance = ({ answer }: HotRequest): number => Math.abs(answer.body.byteLength - TARGET_BYTES)
  return found.reduce((a, b) => (distance(b) < distance(a) ? b : a))
}

const headerOf = ({ headers }: BareAnswer, wanted: string): string => {
  const at = headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === wanted)
  return headers[at + 1] ?? ''
}

const revalidation = (origin: Origin, { path, headers, answer }: HotRequest): Promise<HotRequest> =>
  settle(origin, path, { ...headers, 'If-None-Match': headerOf(answer, 'etag') })

/** Uploads a photo. @returns the four requests of a hot cache: 200 and 304, of an explicit and of a negotiated URL. */
export const prepareHot = async (origin: Origin) => {
  const hash = await origin.upload(await makeJpeg(LARGE.width, LARGE.height, LARGE.bytes))
  const explicit = await nearest(origin, hash, 'jpg', { Connection: 'keep-alive' })
  const negotiated = await nearest(origin, hash, 'auto', CHROME_HEADERS)
  return {
    explicit,
    negotiated,
    explicitAgain: await revalidation(origin, explicit),
    negotiatedAgain: await revalidation(origin, negotiated),
  }
}
