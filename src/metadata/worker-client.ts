/** The main thread's end of a SQLite worker: statements out, answers back in the same order, and a dead thread fails every caller. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { AppError } from '../core/errors.ts'
import type { ExecuteResult } from './sqlite-connection.ts'
import type { Answer, Statement, WorkerOptions } from './sqlite-worker.ts'

/** SQLITE_FULL (sqlite.org/rescode.html): the disk has no room for the log. Extended codes keep it in the low byte. */
const SQLITE_FULL = 13
const FULL_RETRY_SECONDS = 60

export interface SqliteWorker {
  /** @throws AppError `busy` when the disk is full, `internal` for what SQLite refused or when the thread has died. */
  execute(sql: string, parameters: readonly unknown[]): Promise<ExecuteResult>
  /** Why the thread is dead; undefined while it lives. */
  fault(): string | undefined
  close(): Promise<void>
}

/** Resolves once the thread has opened (and, as the writer, migrated) the database. @throws what opening threw. */
export const startSqliteWorker = async (options: WorkerOptions): Promise<SqliteWorker> => {
  const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), { workerData: options })
  const waiting: PromiseWithResolvers<ExecuteResult>[] = []
  let unsent: Statement[] = []
  let dead: Error | undefined

  const die = (cause: Error) => {
    dead ??= cause
    for (const call of waiting.splice(0)) call.reject(new AppError('internal', 'the database thread died', { cause }))
  }
  // Ready, or the error event, which once() turns into a rejection.
  await once(worker, 'message')
  worker.on('message', (answers: readonly Answer[] | 'closed') => {
    if (answers === 'closed') return
    const calls = waiting.splice(0, answers.length)
    for (const [i, answer] of answers.entries()) {
      if ('result' in answer) calls[i]?.resolve(answer.result)
      else calls[i]?.reject(asAppError(answer.error))
    }
  })
  worker.on('error', (error) => die(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', (code) => die(new Error(`exit code ${code}`)))

  /** Statements that follow one another without a wait, such as all inserts of a transaction and its commit, are one message. */
  const send = (): void => {
    worker.postMessage(unsent)
    unsent = []
  }

  return {
    execute: (sql, parameters) => {
      if (dead) return Promise.reject(new AppError('internal', 'the database thread died', { cause: dead }))
      const call = Promise.withResolvers<ExecuteResult>()
      waiting.push(call)
      // Called inside a promise's reaction, this comes after all reactions that are ready by then.
      if (unsent.length === 0) process.nextTick(send)
      unsent.push({ sql, parameters })
      return call.promise
    },
    fault: () => dead?.message,
    close: async () => {
      if (dead) return
      const exited = once(worker, 'exit')
      worker.postMessage('close')
      await exited
    },
  }
}

const asAppError = ({ message, errcode }: { readonly message: string; readonly errcode: number }): AppError => {
  const cause = new Error(`SQLite error ${errcode}: ${message}`)
  return (errcode & 0xff) === SQLITE_FULL
    ? new AppError('busy', 'the disk is full', { cause, retryAfterSeconds: FULL_RETRY_SECONDS })
    : new AppError('internal', 'the database refused a statement', { cause })
}
