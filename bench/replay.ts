/** Logged requests → image requests of ours: which picture, at which width, from which device. Everything follows from the log. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

const CORPUS = new URL('../../shared/corpus/', import.meta.url)

/** What pages would embed; on the ladder. */
const WIDTHS = [160, 320, 480, 640, 800, 1280] as const
/** The images of a page that is shown to all: the log names them by path. */
const IMAGE = /\.(?:png|jpe?g|gif|webp|ico|bmp)(?:$|\?)/i

export interface LoggedRequest {
  /** What was asked for. */
  readonly object: string
  /** Who asked, as far as the log tells devices apart; else a number of the request. */
  readonly device: string
}

export interface Device {
  readonly ua: string
  readonly accept: string | null
  readonly hints: Readonly<Record<string, string>>
}

export const hasTraces = existsSync(new URL('traces/', CORPUS))

const linesOf = (name: string): readonly string[] =>
  gunzipSync(readFileSync(new URL(`traces/${name}`, CORPUS)))
    .toString()
    .split('\n')
    .filter(Boolean)

export const readDevices = (): readonly Device[] =>
  (JSON.parse(readFileSync(new URL('devices.json', CORPUS), 'utf8')) as { readonly entries: readonly Device[] }).entries

interface LogLine {
  readonly m: string
  readonly path: string
  readonly status: number
  readonly ua: string
}

/** The image requests of a web server's log that were answered, in their order. */
export const readWebLog = (): readonly LoggedRequest[] =>
  linesOf('weblog-semicomplete-2015.jsonl.gz')
    .map((line) => JSON.parse(line) as LogLine)
    .filter(({ m, path, status }) => m === 'GET' && IMAGE.test(path) && (status === 200 || status === 304))
    .map(({ path, ua }) => ({ object: path, device: ua }))

/** The first requests of a shop's product pages. The trace does not tell who asked. */
export const readShopLog = (count: number): readonly LoggedRequest[] =>
  linesOf('ecommerce-web07.keys.txt.gz')
    .slice(0, count)
    .map((object, at) => ({ object, device: String(at) }))

const numberOf = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0)

const pick = <T>(list: readonly T[], text: string): T => {
  const found = list[numberOf(text) % list.length]
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}

export interface ImageRequest {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * An object is always the same picture at the same width: as many objects as the log has are then told apart as far as pictures × widths
 * go. Pure.
 * @param hashes of the uploaded pictures.
 */
export const imageRequests = (
  log: readonly LoggedRequest[],
  hashes: readonly string[],
  devices: readonly Device[],
): readonly ImageRequest[] => {
  const places = new Map<string, number>()
  return log.map(({ object, device }) => {
    const place = places.get(object) ?? places.size
    places.set(object, place)
    const width = WIDTHS[Math.floor(place / hashes.length) % WIDTHS.length]
    const { ua, accept, hints } = pick(devices, device)
    return {
      path: `/i/${hashes[place % hashes.length]}/${width}x.auto`,
      headers: { Connection: 'keep-alive', ...hints, 'User-Agent': ua, ...(accept !== null && { Accept: accept }) },
    }
  })
}
