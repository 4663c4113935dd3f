/**
 * A steady mixed load: so many requests a second of each kind, whatever becomes of them (an open loop: a slow server is not spared).
 * Every answer is judged as it comes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, ask, createPictureJudge, type Outcome, wrongRefusal } from './answers.ts'
import { anyOf, type Library, type Shown } from './library.ts'
import { CACHED, createTally, type Kind, note, type Tally } from './tally.ts'
import { AUTHORIZED, uploadNext } from './upload.ts'

/** Requests a second, over all origins. */
const RATES: Readonly<Record<Kind, number>> = { hot: 80, negotiated: 30, cold: 8, original: 3, upload: 4, delete: 1 }
/** Waiting for an answer; beyond it nothing is sent, so that the load generator is bounded too. */
const MAX_OUTSTANDING = 500
const HOT_WIDTH = 320
const COLD_WIDTHS = [80, 96, 120, 128, 150, 160, 180, 200, 240, 256, 300, 360, 384, 400, 480, 512, 540, 600, 640]
const COLD_FORMATS = ['webp', 'jpg', 'avif']
const CHROME = {
  Accept: 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36',
}

/** An origin that stood still for the 500 ms in which it should have confirmed a delete hears of it late, or forgets all after 3 s of silence. */
const UNCONFIRMED_WINDOW_MS = 3_000

/** Whether every origin has said that it knows; one alone has nobody to ask. */
const isConfirmed = ({ status, body }: Answer): boolean => {
  if (status === 204) return true
  const { purge } = JSON.parse(body.toString()) as { readonly purge: { readonly tiers: Record<string, string> } }
  return (purge.tiers.instances ?? 'confirmed') === 'confirmed'
}

export interface LoadOptions {
  /** Of every origin, running or not: clients do not know. */
  readonly urls: readonly string[]
  readonly library: Library
  /** Asked for all the time, in every origin's memory. */
  readonly hot: readonly Shown[]
  /** An origin may break off: that is a failure and not a fault. */
  readonly mayBreak: boolean
  /** How long after a delete has returned another origin may still serve the picture: DESIGN.md, "Several origins". */
  readonly windowMs: number
}

export interface Load {
  readonly tally: Tally
  /** Resolves when every request has its answer. */
  stop(): Promise<void>
}

const hotPath = ({ hash }: Shown): string => `/i/${hash}/${HOT_WIDTH}x.webp`
const negotiatedPath = ({ hash }: Shown): string => `/i/${hash}/${HOT_WIDTH}x.auto`

/** Asks every origin for every hot picture twice: the second time from memory. */
export const fillCaches = async (urls: readonly string[], hot: readonly Shown[]): Promise<void> => {
  for (let turn = 0; turn < 2; turn += 1)
    for (const url of urls)
      await Promise.all(
        hot.flatMap((shown) => [ask(url + hotPath(shown)), ask(url + negotiatedPath(shown), { headers: CHROME })]),
      )
}

export const startLoad = (options: LoadOptions): Load => {
  const { urls, library, hot, mayBreak, windowMs } = options
  const tally = createTally()
  const judge = createPictureJudge()
  const outstanding = new Set<Promise<void>>()

  /** Counts it. @returns the answer where it is no refusal. */
  const settle = (kind: Kind, what: string, outcome: Outcome): Answer | undefined => {
    const answer = outcome.kind === 'answer' ? outcome.answer : undefined
    const good = answer !== undefined && answer.status < 300
    note(tally, kind, outcome.ms, !good)
    if (outcome.kind === 'hung') tally.wrong.push(`${what}: no answer in ${Math.round(outcome.ms)} ms`)
    if (outcome.kind === 'broken' && !mayBreak) tally.wrong.push(`${what}: ${outcome.why}`)
    if (answer && !good && CACHED.includes(kind))
      tally.cachedRefused ??= `${what}: ${answer.status} ${answer.body.toString()}`
    const wrong = answer && !good ? wrongRefusal(answer) : undefined
    if (wrong) tally.wrong.push(`${what}: ${wrong}`)
    return good ? answer : undefined
  }
  /** As an edge reads: who breaks off or is not there is one to try another in place of. */
  const read = async (
    kind: Kind,
    shown: Shown,
    path: string,
    headers: Record<string, string> = {},
  ): Promise<Answer | undefined> => {
    const first = Math.floor(Math.random() * urls.length)
    const from = performance.now()
    for (let turn = 0; ; turn += 1) {
      const outcome = await ask(`${urls[(first + turn) % urls.length]}${path}`, { headers })
      if (outcome.kind === 'broken' && mayBreak && turn + 1 < urls.length) {
        tally.elsewhere += 1
        continue
      }
      const ms = performance.now() - from
      // Its delete was sent while this was under way.
      if (outcome.kind === 'answer' && outcome.answer.status === 410 && library.ending.has(shown.hash))
        return void note(tally, kind, ms, false)
      return settle(kind, `${kind} ${path}`, { ...outcome, ms })
    }
  }
  const readVariant = async (kind: Kind, shown: Shown | undefined, path: string, headers?: Record<string, string>) => {
    if (!shown) return
    const answer = await read(kind, shown, path, headers)
    const wrong = answer && (await judge.variant(path, shown.colour, answer))
    if (wrong) tally.wrong.push(wrong)
  }
  const readOriginal = async (shown: Shown | undefined) => {
    if (!shown) return
    const path = `/i/${shown.hash}/original`
    const answer = await read('original', shown, path)
    const wrong = answer && judge.original(path, shown.hash, answer)
    if (wrong) tally.wrong.push(wrong)
  }
  const upload = async () => {
    const { outcome, shown } = await uploadNext(anyOf(urls) ?? '', library)
    if (settle('upload', 'upload', outcome) && shown) library.live.push(shown)
  }
  /** Asks every origin from the moment that the delete has returned, until it says that the picture is gone. */
  const expectHidden = async (shown: Shown, confirmed: boolean) => {
    const window = confirmed ? windowMs : Math.max(windowMs, UNCONFIRMED_WINDOW_MS)
    const path = hotPath(shown)
    const from = performance.now()
    const look = async (url: string): Promise<void> => {
      for (;;) {
        const asked = performance.now() - from
        const outcome = await ask(url + path)
        if (outcome.kind !== 'answer' || outcome.answer.status !== 200) return
        tally.servedAfterMs = Math.max(tally.servedAfterMs, asked)
        if (asked > window)
          return void tally.wrong.push(`${path}: served ${Math.round(asked)} ms after its delete returned`)
        await sleep(50)
      }
    }
    await Promise.all(urls.map(look))
  }
  const remove = async () => {
    const at = Math.floor(Math.random() * library.live.length)
    const [shown] = library.live.splice(at, 1)
    if (!shown) return
    library.ending.add(shown.hash)
    // In every origin's memory, where a forgotten notice would be seen.
    await Promise.all(urls.map((url) => ask(url + hotPath(shown))))
    const outcome = await ask(`${anyOf(urls)}/assets/${shown.id}`, { method: 'DELETE', headers: AUTHORIZED })
    // Refused: it may have happened or not, so nothing more is asked of it.
    const answer = settle('delete', `delete of ${shown.id}`, outcome)
    if (!answer) return
    library.hidden.push(shown)
    await expectHidden(shown, isConfirmed(answer))
  }
  const send: Readonly<Record<Kind, () => Promise<void>>> = {
    hot: () => {
      const shown = anyOf(hot)
      return readVariant('hot', shown, shown ? hotPath(shown) : '')
    },
    negotiated: () => {
      const shown = anyOf(hot)
      return readVariant('negotiated', shown, shown ? negotiatedPath(shown) : '', CHROME)
    },
    cold: () => {
      const shown = anyOf(library.live)
      return readVariant('cold', shown, `/i/${shown?.hash}/${anyOf(COLD_WIDTHS)}x.${anyOf(COLD_FORMATS)}`)
    },
    original: () => readOriginal(anyOf(library.live)),
    upload,
    delete: remove,
  }
  const timers = Object.entries(RATES).map(([kind, rate]) =>
    setInterval(() => {
      if (outstanding.size >= MAX_OUTSTANDING) return
      const sending = send[kind as Kind]()
        .catch((error: unknown) => void tally.wrong.push(`${kind}: ${String(error)}`))
        .finally(() => outstanding.delete(sending))
      outstanding.add(sending)
    }, 1000 / rate),
  )
  return {
    tally,
    stop: async () => {
      for (const timer of timers) clearInterval(timer)
      await Promise.all(outstanding)
    },
  }
}
