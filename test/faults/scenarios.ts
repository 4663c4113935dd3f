/** The faults, each done while the load runs, and undone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { metric, sumOf } from '../e2e/metric.ts'
import type { Origin } from '../e2e/origin.ts'
import type { SeenRequest } from '../engines/faulty-proxy.ts'
import { childrenOf } from '../fixtures/children.ts'
import { until } from '../fixtures/until.ts'
import { ask } from './answers.ts'
import type { StackRig } from './rig.ts'
import { AUTHORIZED } from './upload.ts'

export interface Scenario {
  readonly name: string
  /** Does the fault and undoes it. @returns what is to be said of it, and what is wrong, in words. */
  readonly run: (rig: StackRig) => Promise<{ readonly say?: string; readonly wrong?: readonly string[] } | undefined>
  /** An origin is killed: connections break. */
  readonly mayBreak?: boolean
  /** DESIGN.md, "Several origins": an instance cut off from Redis may serve for so long what another has hidden. */
  readonly windowMs?: number
  /** Needs the server that stands in for ClickHouse. */
  readonly needsClickHouse?: boolean
}

/** Longer than what has to be found out: Redis' silence takes 3 s, a renderer's deadline here 3 s. */
const FAULT_MS = 4_000
const REDIS_WINDOW_MS = 3_000

const renderersOf = (pid: number) => childrenOf(pid, 'renderer.ts')

const signalRenderers = ({ stack }: StackRig, signal: NodeJS.Signals): number => {
  let signalled = 0
  for (const { pid } of stack.origins)
    for (const renderer of renderersOf(pid)) {
      try {
        process.kill(renderer, signal)
        signalled += 1
      } catch {
        // It has just been replaced.
      }
    }
  return signalled
}

const REST_LIMIT_MS = 20_000

/** Resolves when an origin renders nothing, as it does most of the time. */
const atRest = (origin: Origin): Promise<void> =>
  until(async () => !((await metric(origin, 'renderers_running')) > 0), REST_LIMIT_MS)

const isGet = ({ method }: SeenRequest): boolean => method === 'GET'

/** Layers of up to 6,144² × 4 bytes = 151 MB, all of which the last step needs: 6 GB, if nobody stopped it. */
const LAYERS = 40
const SIDES = [6144, 5120, 4096, 3840]
const greedyDrawing = (): Buffer<ArrayBuffer> => {
  const numbers = Array.from({ length: LAYERS }, (_, at) => at)
  const layers = numbers.map((at) => `<feOffset in="SourceGraphic" dx="${at}" result="r${at}"/>`).join('')
  const merged = numbers.map((at) => `<feMergeNode in="r${at}"/>`).join('')
  const filter = `<filter id="f">${layers}<feMerge>${merged}</feMerge></filter>`
  const rectangle = '<rect width="6144" height="6144" fill="red" filter="url(#f)"/>'
  return Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="6144" height="6144">${filter}${rectangle}</svg>`)
}

export const SCENARIOS: readonly Scenario[] = [
  { name: 'nothing (for comparison)', run: () => sleep(FAULT_MS, undefined) },
  {
    name: 'Redis hangs (SIGSTOP) for 5 s',
    windowMs: REDIS_WINDOW_MS,
    run: async ({ stack }) => {
      stack.redis.hang()
      await sleep(FAULT_MS + 1_000)
      stack.redis.resume()
      return undefined
    },
  },
  {
    name: 'Redis killed, back empty after 3 s',
    windowMs: REDIS_WINDOW_MS,
    run: async ({ stack }) => {
      await stack.redis.kill()
      await sleep(3_000)
      await stack.redis.start()
      return undefined
    },
  },
  {
    name: 'PostgreSQL cut off as by a power cut, back after 2 s',
    run: async ({ stack }) => {
      await stack.postgres.stop('immediate')
      await sleep(2_000)
      await stack.postgres.start()
      return undefined
    },
  },
  {
    name: 'S3 slower by 50 ms a request',
    run: async ({ stack }) => {
      stack.store.set({ delayMs: 50 })
      await sleep(FAULT_MS)
      const slowed = stack.store.done()
      stack.store.set({})
      return { say: `${slowed} requests slowed` }
    },
  },
  {
    name: 'S3 fails one request in five',
    run: async ({ stack }) => {
      stack.store.set({ failOneIn: 5 })
      await sleep(FAULT_MS)
      const refused = stack.store.done()
      stack.store.set({})
      return { say: `${refused} requests to it failed` }
    },
  },
  {
    name: 'S3 cuts every second answer to a GET after 1 kB',
    run: async ({ stack }) => {
      let turn = 0
      stack.store.set({ cutAfterBytes: 1_000, only: (request) => isGet(request) && turn++ % 2 === 0 })
      await sleep(FAULT_MS)
      const cut = stack.store.done()
      stack.store.set({})
      return { say: `${cut} requests to it meant` }
    },
  },
  {
    name: 'ClickHouse (its stand-in) down for 5 s',
    needsClickHouse: true,
    run: async ({ clickhouse }) => {
      clickhouse?.proxy.set({ down: true })
      await sleep(FAULT_MS + 1_000)
      clickhouse?.proxy.set({})
      return undefined
    },
  },
  {
    name: 'ClickHouse (its stand-in) takes a batch and its answer is lost, every second time',
    needsClickHouse: true,
    run: async ({ clickhouse }) => {
      let turn = 0
      const inserts = ({ path }: SeenRequest) => decodeURIComponent(path).includes('INSERT')
      clickhouse?.proxy.set({ loseAnswer: true, only: (request) => inserts(request) && turn++ % 2 === 0 })
      await sleep(FAULT_MS)
      const lost = clickhouse?.proxy.done() ?? 0
      clickhouse?.proxy.set({})
      return { say: `${lost} answers lost` }
    },
  },
  {
    name: 'one origin of four killed (SIGKILL), back after 3 s',
    mayBreak: true,
    run: async ({ stack }) => {
      await stack.stop(3, 'SIGKILL')
      await sleep(3_000)
      await stack.start(3)
      return undefined
    },
  },
  {
    name: 'every renderer hangs (SIGSTOP), once',
    run: async (rig) => {
      const count = signalRenderers(rig, 'SIGSTOP')
      await sleep(FAULT_MS + 1_000)
      const stalled = await sumOf(rig.stack.origins, 'renderers_stalled_total')
      return { say: `${stalled} found standing still and replaced`, wrong: count > 0 ? [] : ['no renderer was found'] }
    },
  },
  {
    name: 'every renderer crashes (SIGSEGV), every second',
    run: async (rig) => {
      let count = 0
      for (let turn = 0; turn < 3; turn += 1) {
        count += signalRenderers(rig, 'SIGSEGV')
        await sleep(1_000)
        // A picture that crashes two renderers is to blame for it: whoever was struck is to be through before the next turn.
        for (const origin of rig.stack.origins) await atRest(origin)
      }
      return { say: `${count} crashes`, wrong: count > 0 ? [] : ['no renderer was found'] }
    },
  },
  {
    name: 'a drawing eats a renderer’s memory, on every origin',
    run: async ({ stack, urls }) => {
      const ended = async () =>
        [
          await sumOf(stack.origins, 'renderers_out_of_memory_total'),
          await sumOf(stack.origins, 'renderers_timed_out_total'),
        ] as const
      const [largeBefore, lateBefore] = await ended()
      const headers = { ...AUTHORIZED, 'Content-Type': 'image/svg+xml' }
      const made = await ask(`${urls[0]}/assets/upload`, { method: 'POST', headers, body: greedyDrawing() })
      const hash = made.kind === 'answer' ? (JSON.parse(made.answer.body.toString()) as { hash?: string }).hash : ''
      const answers = await Promise.all(urls.map((url, at) => ask(`${url}/i/${hash}/${SIDES[at]}x.png`)))
      const statuses = answers.map((outcome) => (outcome.kind === 'answer' ? outcome.answer.status : outcome.kind))
      const [large, late] = await ended()
      const killed = large - largeBefore + late - lateBefore
      return {
        say: `renderers killed: ${large - largeBefore} at 1 GiB, ${late - lateBefore} at the deadline; the drawing itself: ${statuses.join(', ')}`,
        wrong: [
          ...(killed > 0 ? [] : ['no renderer was killed']),
          ...statuses
            .filter((status) => status !== 422 && status !== 503 && status !== 200)
            .map((status) => `the drawing: ${status}`),
        ],
      }
    },
  },
]
