/**
 * Variants on their way to the disk, gathered and handed to a thread many at a time. Written one by one through libuv's pool
 * each took five wake-ups and 0.5 ms CPU, beside a render of 22 (measured); nobody waits for them, so they can.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { WriteJob, WriteOutcome } from './variant-writer-thread.ts'

export interface VariantWriter extends AsyncDisposable {
  /** Resolves once the file is there. @throws Error when it could not be written; nothing of it is left then. */
  write(job: WriteJob): Promise<Exclude<WriteOutcome, { readonly fault: string }>>
}

export interface VariantWriterOptions {
  /** How long the first of a batch waits for others. Milliseconds. */
  readonly gatherMs: number
}

interface Waiting {
  readonly job: WriteJob
  readonly done: PromiseWithResolvers<Exclude<WriteOutcome, { readonly fault: string }>>
}

/** Files of one batch: some 100 µs each, so that a batch is done in a few milliseconds. */
const MAX_BATCH = 32

/** The caller bounds how many writes are under way. Dispose waits for them. */
export const startVariantWriter = ({ gatherMs }: VariantWriterOptions): VariantWriter => {
  const thread = new Worker(new URL('./variant-writer-thread.ts', import.meta.url))
  // A store that is not disposed of keeps no process alive.
  thread.unref()
  const queue: Waiting[] = []
  let batch: readonly Waiting[] = []
  let timer: NodeJS.Timeout | undefined
  let dead: Error | undefined

  const send = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (batch.length > 0 || queue.length === 0) return
    batch = queue.splice(0, MAX_BATCH)
    thread.postMessage(batch.map(({ job }) => job))
  }
  const sendSoon = (): void => {
    if (queue.length >= MAX_BATCH) send()
    else timer ??= setTimeout(send, gatherMs)
  }
  const settle = (outcomes: readonly WriteOutcome[]): void => {
    const settled = batch
    batch = []
    for (const [index, { done }] of settled.entries()) {
      const outcome = outcomes[index] ?? { fault: 'the writing thread lost it' }
      if ('fault' in outcome) done.reject(new Error(outcome.fault))
      else done.resolve(outcome)
    }
    if (queue.length > 0) sendSoon()
  }
  const die = (error: Error): void => {
    dead ??= error
    for (const { done } of [...batch, ...queue.splice(0)]) done.reject(error)
    batch = []
  }
  thread.on('message', settle)
  thread.on('error', (error) => die(error instanceof Error ? error : new Error(String(error))))
  thread.on('exit', (code) => die(new Error(`the thread that writes variants ended with ${code}`)))

  return {
    write: (job) => {
      if (dead) return Promise.reject(dead)
      const done = Promise.withResolvers<Exclude<WriteOutcome, { readonly fault: string }>>()
      queue.push({ job, done })
      sendSoon()
      return done.promise
    },
    [Symbol.asyncDispose]: async () => {
      send()
      await Promise.allSettled([...batch, ...queue].map(({ done }) => done.promise))
      if (dead) return
      const exited = once(thread, 'exit')
      await thread.terminate()
      await exited
    },
  }
}
