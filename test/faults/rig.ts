/** What a fault is done to: some origins under load, and how they are well again. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClickHouseStandIn } from '../engines/clickhouse.ts'
import type { Stack } from '../engines/stack.ts'
import { ask, askUntilTaken } from './answers.ts'
import { createLibrary, type Library, type Shown } from './library.ts'
import { AUTHORIZED, uploadNext } from './upload.ts'

export interface Rig {
  readonly urls: readonly string[]
  readonly library: Library
  readonly hot: readonly Shown[]
}

export interface StackRig extends Rig {
  readonly stack: Stack
  readonly clickhouse: ClickHouseStandIn | undefined
}

const HOT = 10
const COLD = 30
/** Past every pause and breaker of the server. */
const WELL_LIMIT_MS = 120_000

/** Pictures that will be in every memory, and some that nobody has asked for yet. */
export const prepare = async (urls: readonly string[]): Promise<Rig> => {
  const library = createLibrary()
  const hot: Shown[] = []
  for (let at = 0; at < HOT + COLD; at += 1) {
    const { shown } = await uploadNext(urls[at % urls.length] ?? '', library)
    if (!shown) throw new Error('a picture could not be uploaded before any fault')
    if (at < HOT) hot.push(shown)
    else library.live.push(shown)
  }
  return { urls, library, hot }
}

interface Health {
  readonly status: string
  readonly engines: Readonly<Record<string, { readonly state: string }>>
}

/** Every engine as each origin sees it, and an upload taken by each. */
const isWell = async ({ urls, library }: Rig): Promise<boolean> => {
  const well = await Promise.all(
    urls.map(async (url) => {
      const outcome = await ask(`${url}/readyz`)
      if (outcome.kind !== 'answer' || outcome.answer.status !== 200) return false
      const { engines } = JSON.parse(outcome.answer.body.toString()) as Health
      if (Object.values(engines).some(({ state }) => state !== 'ready' && state !== 'idle')) return false
      const { shown } = await uploadNext(url, library)
      if (shown) library.live.push(shown)
      return shown !== undefined
    }),
  )
  return well.every(Boolean)
}

/** @returns after how long all was well, ms. @throws when it never was. */
export const waitUntilWell = async (rig: Rig): Promise<number> => {
  const from = performance.now()
  while (performance.now() - from < WELL_LIMIT_MS) {
    if (await isWell(rig)) return performance.now() - from
    await sleep(100)
  }
  throw new Error(`not well again ${WELL_LIMIT_MS / 1000} s after the fault has ended`)
}

/** At once so many that a thousand take a few seconds. */
const CHECKED_AT_ONCE = 16

/**
 * @param since how many of the live and the hidden were looked at before: those are left out.
 * @returns in words what was acknowledged and is not so: assets and bytes lost, deleted pictures shown.
 */
export const audit = async (
  { urls, library, hot }: Rig,
  since = { live: 0, hidden: 0 },
): Promise<readonly string[]> => {
  const lost: string[] = []
  const anyUrl = (at: number) => urls[at % urls.length] ?? ''
  const checkLive = async ({ id, hash }: Shown, at: number) => {
    const [asset, original] = await Promise.all([
      askUntilTaken(`${anyUrl(at)}/assets/${id}`, { headers: AUTHORIZED }),
      askUntilTaken(`${anyUrl(at + 1)}/i/${hash}/original`),
    ])
    if (asset.kind !== 'answer' || asset.answer.status !== 200) lost.push(`the asset ${id} of a 201 is lost`)
    const digest = original.kind === 'answer' ? createHash('sha256').update(original.answer.body).digest('hex') : ''
    if (digest !== hash) lost.push(`the bytes ${hash} of a 201 are lost`)
  }
  const checkHidden = async ({ hash }: Shown, at: number) => {
    const outcome = await askUntilTaken(`${anyUrl(at)}/i/${hash}/original`)
    if (outcome.kind !== 'answer' || outcome.answer.status !== 410) lost.push(`the deleted ${hash} is not 410`)
  }
  const checks = [
    ...[...hot, ...library.live.slice(since.live)].map((shown, at) => () => checkLive(shown, at)),
    ...library.hidden.slice(since.hidden).map((shown, at) => () => checkHidden(shown, at)),
  ]
  for (let at = 0; at < checks.length; at += CHECKED_AT_ONCE)
    await Promise.all(checks.slice(at, at + CHECKED_AT_ONCE).map((check) => check()))
  return lost
}
