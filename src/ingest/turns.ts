/** One writer at a time for each name, and the newest wins: what a client sends again is sent because the first try hangs. */

import { AppError } from '../core/errors.ts'
import { unlessAborted } from '../core/unless-aborted.ts'

export interface TurnStats {
  superseded: number
}

export interface Turn extends Disposable {
  /** Aborts when a newer writer has come, or the name is closed. */
  readonly signal: AbortSignal
}

export interface Turns {
  readonly stats: Readonly<TurnStats>
  /** Waits until the writer before has ended, having told it to. @throws the signal's reason. */
  enter(group: string, name: string, signal: AbortSignal): Promise<Turn>
  /** Tells all writers of a group to end, and waits for it. */
  clear(group: string, signal: AbortSignal): Promise<void>
}

interface Writer {
  readonly group: string
  readonly stop: AbortController
  readonly ended: PromiseWithResolvers<void>
}

/** For this process only: what is shared by several is safe by its keys (`blobs/s3-chunks.ts`). */
export const createTurns = (): Turns => {
  const writers = new Map<string, Writer>()
  const stats: TurnStats = { superseded: 0 }

  const end = async (writer: Writer, why: string, signal: AbortSignal): Promise<void> => {
    if (!writer.stop.signal.aborted) {
      stats.superseded += 1
      writer.stop.abort(new AppError('conflict', why))
    }
    await unlessAborted(writer.ended.promise, signal)
  }

  return {
    stats,
    enter: async (group, name, signal) => {
      const key = `${group}:${name}`
      for (let before = writers.get(key); before; before = writers.get(key))
        await end(before, 'a later request sends the same bytes', signal)
      signal.throwIfAborted()
      const writer: Writer = { group, stop: new AbortController(), ended: Promise.withResolvers() }
      writers.set(key, writer)
      return {
        signal: writer.stop.signal,
        [Symbol.dispose]: () => {
          if (writers.get(key) === writer) writers.delete(key)
          writer.ended.resolve()
        },
      }
    },
    clear: async (group, signal) => {
      const mine = [...writers.values()].filter((writer) => writer.group === group)
      await Promise.all(mine.map((writer) => end(writer, 'the upload session has ended', signal)))
    },
  }
}
