/** The load generator: raw sockets, one request at a time on each, latencies of every answer. */
import { connect, type Socket } from 'node:net'
import { numberedJpeg } from '../jpegs.ts'
import { percentile } from '../statistics.ts'
import { createAnswerReader } from './answer-reader.ts'
import type { LoadJob, LoadResult, Source } from './job.ts'

/** Holds a 20 KB answer whole, so that one read takes it. */
const READ_BUFFER_BYTES = 64 * 1024

/** @returns a function that gives the next request's bytes, or undefined when there are no more. */
const requestsOf = (source: Source): (() => Buffer | undefined) => {
  switch (source.kind) {
    case 'repeat': {
      const bytes = Buffer.from(source.request, 'latin1')
      return () => bytes
    }
    case 'list': {
      let next = 0
      return () => {
        const request = source.requests[next]
        next += 1
        return request === undefined ? undefined : Buffer.from(request, 'latin1')
      }
    }
    case 'jpegs': {
      let number = source.from
      return () => {
        const { before = '', after = '' } = source.wrap ?? {}
        const picture = numberedJpeg(source.jpeg, number)
        number += 1
        const bytes = before.length + picture.length + after.length
        const head = `${source.head}Content-Length: ${bytes}\r\n\r\n${before}`
        return Buffer.concat([Buffer.from(head, 'latin1'), picture, Buffer.from(after, 'latin1')])
      }
    }
    default:
      return source satisfies never
  }
}

interface Tally {
  readonly latencies: number[]
  readonly failures: Record<number, number>
  bytes: number
  lastAnswerAt: number
}

interface Connection {
  /** Begins the next request; false when one is under way, or there are no more. */
  begin(): boolean
  /** Resolves when the last answer is in and nothing more is begun. */
  readonly done: Promise<void>
}

const openConnection = async (
  port: number,
  next: () => Buffer | undefined,
  tally: Tally,
  goesOn: () => boolean,
): Promise<Connection> => {
  const done = Promise.withResolvers<void>()
  let begunAt = 0
  const reader = createAnswerReader()
  const opened = Promise.withResolvers<void>()
  const socket: Socket = connect({
    host: '127.0.0.1',
    port,
    noDelay: true,
    onread: {
      buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES),
      callback: (length, buffer) => {
        tally.bytes += length
        const status = reader.push(Buffer.from(buffer.buffer, buffer.byteOffset, length))
        if (status !== 0) answered(status)
        return true
      },
    },
  })
  const begin = (): boolean => {
    if (begunAt !== 0) return false
    const request = next()
    if (!request) {
      socket.destroy()
      done.resolve()
      return false
    }
    socket.write(request)
    begunAt = performance.now()
    return true
  }
  const answered = (status: number): void => {
    tally.lastAnswerAt = performance.now()
    if ((status >= 200 && status < 300) || status === 304) tally.latencies.push(tally.lastAnswerAt - begunAt)
    else tally.failures[status] = (tally.failures[status] ?? 0) + 1
    begunAt = 0
    if (goesOn()) begin()
  }
  socket.on('connect', () => opened.resolve())
  socket.on('error', (error) => opened.reject(error))
  socket.on('close', () => {
    if (begunAt !== 0) tally.failures[0] = (tally.failures[0] ?? 0) + 1
    done.resolve()
  })
  await opened.promise
  return { begin, done: done.promise }
}

/** Begins due requests on whichever connections are free. Latency counts from the writing, so a late timer is not held against the server. */
const pace = (connections: readonly Connection[], perSecond: number, until: number): Promise<void> =>
  new Promise((resolve) => {
    const from = performance.now()
    let begun = 0
    const timer = setInterval(() => {
      const now = performance.now()
      const due = ((now - from) / 1000) * perSecond
      while (begun < due && connections.some((connection) => connection.begin())) begun += 1
      begun = Math.max(begun, due)
      if (now < until) return
      clearInterval(timer)
      resolve()
    }, 1)
  })

/** @throws Error when a connection cannot be opened, or nothing was answered at all. */
export const runLoad = async (job: LoadJob): Promise<LoadResult> => {
  const requests = requestsOf(job.source)
  const tally: Tally = { latencies: [], failures: {}, bytes: 0, lastAnswerAt: 0 }
  let until = Number.POSITIVE_INFINITY
  const next = (): Buffer | undefined => (performance.now() < until ? requests() : undefined)
  // A paced connection waits to be told, until the end, when beginning means closing.
  const goesOn = (): boolean => job.perSecond === undefined || performance.now() >= until
  const connections = await Promise.all(
    Array.from({ length: job.connections }, () => openConnection(job.port, next, tally, goesOn)),
  )
  const from = performance.now()
  until = from + job.seconds * 1000
  if (job.perSecond === undefined) for (const connection of connections) connection.begin()
  else {
    await pace(connections, job.perSecond, until)
    for (const connection of connections) connection.begin()
  }
  await Promise.all(connections.map(({ done }) => done))
  const answers = tally.latencies.length
  if (answers === 0) throw new Error(`no answers from port ${job.port}: ${JSON.stringify(tally.failures)}`)
  const seconds = (tally.lastAnswerAt - from) / 1000
  const sorted = tally.latencies.toSorted((a, b) => a - b)
  return {
    answered: answers,
    failures: tally.failures,
    seconds,
    perSecond: answers / seconds,
    bytesPerAnswer: tally.bytes / answers,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1),
  }
}
