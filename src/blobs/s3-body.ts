/**
 * An object's bytes as a stream that survives its connection. A body that ends early is asked for again from where it ended:
 * keys are content addresses, so the rest of any answer fits the beginning of any other.
 */
import { Readable } from 'node:stream'
import { AppError } from '../core/errors.ts'
import type { ObjectStream, S3Bucket } from './s3-bucket.ts'
import { MAX_STREAMS, type S3Stats } from './s3-client.ts'
import { asS3AppError, storeBusy } from './s3-faults.ts'
import type { ByteRange } from './store.ts'

/** Requests without a new byte before the stream fails; and in all, for a store that cuts every answer after a little. */
const MAX_FRUITLESS = 3
const MAX_RESUMES = 64
/** Held for a reader slower than the store. */
const HELD_BYTES = 256 * 1024

export interface S3Body {
  readonly stream: Readable
  readonly bytes: number
}

/** An object whose bytes never change. */
export interface S3Source {
  readonly key: string
  /** What it is called where it is missing. */
  readonly name: string
}

type Source = Pick<S3Bucket, 'stream'>

/**
 * Resolves when the store has begun to answer.
 * @throws AppError `internal` when the object is missing or refused, `busy` when the store does not answer or too many
 * bodies are being read; the signal's reason when that aborts. Later failures are errors of the stream.
 */
export const openS3Body = async (
  source: Source,
  stats: S3Stats,
  original: S3Source,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<S3Body> => {
  if (stats.streams >= MAX_STREAMS) throw storeBusy(undefined, 'too many originals are being read')
  stats.streams += 1
  try {
    const first = await openAt(source, original, range, signal)
    const start = range?.start ?? 0
    const end = start + first.bytes - 1
    const pull = createPull(source, stats, original, { start, end }, first.body, signal)
    return { stream: asStream(pull, stats), bytes: first.bytes }
  } catch (error) {
    stats.streams -= 1
    throw signal.aborted ? error : asS3AppError(error)
  }
}

interface Pull {
  /** The next bytes, or undefined at the end. */
  next(): Promise<Buffer | undefined>
  /** Lets go of the connection. */
  close(): void
}

/** Not `Readable.from`, which on `destroy` waits for the piece being read: the socket of a reader who left is free at once. */
const asStream = (pull: Pull, stats: S3Stats): Readable =>
  new Readable({
    highWaterMark: HELD_BYTES,
    read() {
      pull.next().then(
        (chunk) => this.push(chunk ?? null),
        (error: Error) => this.destroy(error),
      )
    },
    destroy(error, done) {
      stats.streams -= 1
      pull.close()
      done(error)
    },
  })

const openAt = async (
  source: Source,
  { key, name }: S3Source,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<ObjectStream> => {
  const found = await source.stream(key, range, signal)
  if (!found) throw new AppError('internal', `the bytes of ${name} are missing`)
  return found
}

const createPull = (
  source: Source,
  stats: S3Stats,
  original: S3Source,
  whole: ByteRange,
  first: Readable,
  signal: AbortSignal,
): Pull => {
  let body: Readable | undefined = first
  let chunks: AsyncIterator<Buffer> | undefined
  let at = whole.start
  let [resumes, fruitless] = [0, 0]
  let closed = false

  const step = async (): Promise<Buffer | undefined> => {
    if (!body) {
      const opened = await openAt(source, original, { start: at, end: whole.end }, signal)
      body = opened.body
      if (closed) body.destroy()
    }
    chunks ??= (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
    const { value, done } = await chunks.next()
    if (!done) return value
    if (at > whole.end) return undefined
    throw new Error(`the object store sent ${at - whole.start} bytes of ${whole.end - whole.start + 1}`)
  }

  return {
    async next() {
      for (;;) {
        try {
          const chunk = await step()
          if (chunk) fruitless = 0
          at += chunk?.length ?? 0
          return chunk
        } catch (error) {
          if (closed) return undefined
          signal.throwIfAborted()
          stats.bodyFaults += 1
          resumes += 1
          fruitless += 1
          body?.destroy()
          body = undefined
          chunks = undefined
          if (fruitless >= MAX_FRUITLESS || resumes > MAX_RESUMES) throw asS3AppError(error)
        }
      }
    },
    close: () => {
      closed = true
      body?.destroy()
    },
  }
}
