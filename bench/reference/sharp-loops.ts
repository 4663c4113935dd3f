/** As many bare sharp loops as Oriel has renderers, kept busy at a given concurrency. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpuSecondsOf } from '../process-tree.ts'
import { startProcess, stopProcess } from '../processes.ts'
import type { LoopDone, LoopJob } from './sharp-loop.ts'

export interface LoopsResult {
  readonly perSecond: number
  /** Of each job, from being handed over to being done. */
  readonly latencies: readonly number[]
  readonly bytes: number
  readonly cpuMsPerJob: number
}

export interface SharpLoops extends AsyncDisposable {
  run(jobs: readonly LoopJob[], concurrency: number): Promise<LoopsResult>
}

const ask = async (child: ChildProcess, job: LoopJob): Promise<LoopDone> => {
  child.send(job)
  const [done] = await once(child, 'message')
  return done as LoopDone
}

/** Each process takes the next job when it is free, so that none waits at the end for the other. */
export const startSharpLoops = (processes: number): SharpLoops => {
  const children = Array.from({ length: processes }, () =>
    startProcess(new URL('./sharp-loop.ts', import.meta.url), [], {}, true),
  )
  const cpu = (): number => children.reduce((sum, { pid }) => sum + cpuSecondsOf(pid ?? 0), 0)
  return {
    run: async (jobs, concurrency) => {
      const latencies: number[] = []
      let [next, bytes] = [0, 0]
      const from = performance.now()
      const cpuFrom = cpu()
      // A request waits in line from the moment that its predecessor's answer made room for it, as in a closed loop of clients.
      const since = Array.from({ length: concurrency }, () => from)
      const work = async (child: ChildProcess): Promise<void> => {
        for (let job = jobs[next]; job; job = jobs[next]) {
          next += 1
          const begun = since.shift() ?? performance.now()
          bytes = (await ask(child, job)).bytes
          const now = performance.now()
          latencies.push(now - begun)
          since.push(now)
        }
      }
      await Promise.all(children.map(work))
      const seconds = (performance.now() - from) / 1000
      return {
        perSecond: jobs.length / seconds,
        latencies,
        bytes,
        cpuMsPerJob: ((cpu() - cpuFrom) * 1000) / jobs.length,
      }
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(children.map(stopProcess))
    },
  }
}
