/**
 * A renderer process: reads untrusted pictures so that the server does not. One job at a time; it knows nothing but the job.
 * Forked by `renderer-process.ts` with `serialization: 'advanced'`.
 */
import { flushCompileCache } from 'node:module'
import sharp from 'sharp'
import { AppError } from '../core/errors.ts'
import { BEHIND_ANSWERS, setNiceness } from '../core/niceness.ts'
import { blockLoaders } from './open.ts'
import { probe, probeCutShort } from './probe.ts'
import { render } from './render.ts'
import type { Probed } from './renderer-port.ts'
import type { Answer, Failure, Outcome, Request, Taken } from './wire.ts'

sharp.cache(false)
// One job a process and a process a core: libvips' own threads would only get in each other's way.
sharp.concurrency(1)
blockLoaders()
setNiceness(BEHIND_ANSWERS)

const answerProbe = ({ path, limits, missing }: Extract<Request, { kind: 'probe' }>): Promise<Probed> =>
  missing === undefined ? probe(path, limits) : probeCutShort(path, limits, missing)

const outcomeOf = async (request: Request): Promise<Outcome> => {
  switch (request.kind) {
    case 'probe':
      return { kind: 'probed', probed: await answerProbe(request) }
    case 'render':
      return { kind: 'rendered', rendered: await render(request.job, request.limits) }
    default:
      return request satisfies never
  }
}

const tell = (outcome: Outcome): void => {
  const { user, system } = process.cpuUsage()
  const taken: Taken = { rssBytes: process.memoryUsage.rss(), processorMs: (user + system) / 1000 }
  process.send?.({ ...outcome, ...taken } satisfies Answer)
}

const isMissingFile = (error: unknown): boolean =>
  error instanceof Error && (('code' in error && error.code === 'ENOENT') || error.message.includes('file is missing'))

/** libvips repeats a broken tag's warning as often as it meets the tag. */
const MAX_DETAIL = 500
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, MAX_DETAIL)

/** What libvips throws about a file is the file's fault; that the file is gone is ours. */
const failure = (error: unknown): Failure => {
  if (error instanceof AppError) return { kind: error.kind, message: error.message, detail: textOf(error.cause ?? '') }
  if (isMissingFile(error)) return { kind: 'internal', message: 'the original cannot be read', detail: textOf(error) }
  const message = 'the picture is broken: its header can be read, its pixels cannot'
  return { kind: 'undecodable', message, detail: textOf(error) }
}

const serve = async (request: Request): Promise<void> =>
  tell(await outcomeOf(request).catch((error: unknown): Outcome => ({ kind: 'failed', failure: failure(error) })))

process.on('message', (request: Request) => {
  void serve(request)
})
// Not `exit`: that would wait for a decode in libuv's threads, and nobody is left to enforce the deadline.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
// A terminal's Ctrl-C reaches the whole process group; the server drains and then closes the channel.
process.on('SIGINT', () => undefined)
tell({ kind: 'ready' })
// Written at exit otherwise, and a renderer's end is a kill.
flushCompileCache()
