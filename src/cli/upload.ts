/** `oriel upload`: files and folders to the server, several at once, each at most once. */
import { defineCommand, type Options, oneOf, wholeNumber } from './arguments.ts'
import { createClient } from './client.ts'
import { EXIT, Stop, usageFault } from './exit.ts'
import { createPlaces, eachOf } from './places.ts'
import type { Outcome } from './plan.ts'
import { formatBytes, type Tally } from './progress.ts'
import { createReporter, type Reporter } from './reporter.ts'
import { chooseServer, KEY_NOTE, SERVER_OPTIONS } from './server.ts'
import { createSessionFiles, stateFolder } from './session-file.ts'
import { createReach } from './store.ts'
import { assertWelcome, type UploadContext, uploadFile } from './upload-file.ts'
import { type Found, walk } from './walk.ts'
import { assertFolders, WALK_OPTIONS, walkOptions } from './walk-options.ts'
import { printable } from './world.ts'

const MAX_CONCURRENCY = 64
/** The server takes 64 uploads at once; eight small files hide the wait for its disk. */
const DEFAULT_CONCURRENCY = 8

const OPTIONS = {
  ...WALK_OPTIONS,
  concurrency: {
    type: 'string',
    short: 'j',
    value: '<n>',
    note: `uploads at once, 1–64 (default ${DEFAULT_CONCURRENCY})`,
  },
  tag: { type: 'string', multiple: true, value: '<tag>', note: 'a tag for every file' },
  visibility: { type: 'string', value: 'public|private', note: "of every file; else the server's default" },
  'dry-run': { type: 'boolean', short: 'n', note: 'ask what is known, send nothing' },
  quiet: { type: 'boolean', short: 'q', note: 'no progress, faults only' },
  ...SERVER_OPTIONS,
} as const satisfies Options

export const upload = defineCommand({
  name: 'upload',
  summary:
    'Uploads pictures. What is yours on the server already is skipped; run it again after an interruption and it goes on.',
  operands: '<path…>',
  count: [1, Number.POSITIVE_INFINITY],
  options: OPTIONS,
  notes: [
    KEY_NOTE,
    'Exit codes: 0 all done, 1 some files failed, 2 usage, 3 server unreachable or key refused, 130 interrupted.',
  ],
  run: async ({ values, operands }, world) => {
    const concurrency = wholeNumber(
      'concurrency',
      values.concurrency ?? String(DEFAULT_CONCURRENCY),
      1,
      MAX_CONCURRENCY,
    )
    const visibility =
      values.visibility === undefined ? undefined : oneOf('visibility', values.visibility, ['public', 'private'])
    const comma = values.tag.find((tag) => tag.includes(','))
    if (comma !== undefined) throw usageFault(`--tag has no commas, repeat it instead: ${comma}`)
    const walking = walkOptions(values)
    await assertFolders(operands, walking)
    const server = chooseServer(values, world)
    // Beside those that carry bytes: prechecks of the workers.
    using client = createClient(server, 2 * concurrency)
    await assertWelcome(client, world.signal)

    using reporter = createReporter(world, values.quiet)
    const failing = new AbortController()
    const signal = AbortSignal.any([world.signal, failing.signal])
    const state = stateFolder(world.env)
    const unkept = (why: string) =>
      reporter.warn(`${state} cannot be written to (${why}): an interrupted file starts anew`)
    const context: UploadContext = {
      client,
      sessions: createSessionFiles(state, server.url, unkept),
      withPlace: createPlaces(concurrency),
      reach: createReach(),
      persistence: { signal, onWait: reporter.waiting },
      tags: values.tag,
      visibility,
      dryRun: values['dry-run'],
      twins: new Map(),
    }
    const counting = count(walk(operands, walking), reporter, signal)
    const work = async (found: Found) => {
      const { outcome, sha256 } = await settleOne(found, context, reporter)
      if (values.json) world.out(`${JSON.stringify(line(found, outcome, sha256))}\n`)
    }
    const ended = await eachOf(walk(operands, walking), concurrency, work).catch((error: unknown) => {
      failing.abort()
      return { error: world.signal.aborted ? world.signal.reason : error }
    })
    await counting
    reporter[Symbol.dispose]()
    const tally = reporter.tally()
    if (values.json) world.out(`${JSON.stringify(summary(tally, ended?.error))}\n`)
    else if (!values.quiet || ended) world.out(`${sentence(tally, values['dry-run'])}\n`)
    if (ended) throw explained(ended.error, tally)
    return tally.files.failed > 0 ? EXIT.failed : EXIT.done
  },
})

/** A walk of its own, ahead of the work: so there is a time left, and no list of all files in memory. */
const count = async (files: AsyncIterable<Found>, reporter: Reporter, signal: AbortSignal): Promise<void> => {
  for await (const found of files) {
    if (signal.aborted) return
    reporter.note({ kind: 'found', bytes: found.kind === 'file' ? found.bytes : 0 })
  }
  reporter.note({ kind: 'counted' })
}

const settleOne = async (found: Found, context: UploadContext, reporter: Reporter) => {
  let underWay = 0
  const tell = (kind: 'sent' | 'there') => (bytes: number) => {
    underWay += bytes
    reporter.note({ kind, bytes })
  }
  const result =
    found.kind === 'file'
      ? await uploadFile(found.path, context, { onSent: tell('sent'), onThere: tell('there') })
      : { outcome: { status: 'failed', why: found.why } satisfies Outcome, sha256: undefined }
  const { outcome } = result
  const bytes = found.kind === 'file' ? found.bytes : 0
  reporter.note({ kind: 'settled', status: outcome.status, bytes, underWay })
  if (outcome.status === 'failed') reporter.fault(found.path, outcome.why)
  return result
}

/** One object of `--json`. */
const line = (found: Found, outcome: Outcome, sha256: string | undefined) => {
  const { status } = outcome
  return {
    type: 'file',
    path: found.path,
    status,
    ...(found.kind === 'file' && { bytes: found.bytes }),
    ...(sha256 !== undefined && { sha256 }),
    ...(status === 'uploaded' && { id: outcome.id, url: outcome.url, sent: outcome.sent }),
    ...(status === 'skipped' && outcome.id !== undefined && { id: outcome.id }),
    ...(status === 'duplicate' && { duplicate_of: outcome.of }),
    ...(status === 'failed' && { error: outcome.why }),
  }
}

const summary = ({ files, bytes, found }: Tally, error: unknown) => ({
  type: 'summary',
  ...files,
  files: Object.values(files).reduce((sum, value) => sum + value, 0),
  files_found: found.files,
  bytes_found: found.bytes,
  bytes_sent: bytes.sent,
  complete: error === undefined,
  ...(error !== undefined && { error: error instanceof Error ? error.message : String(error) }),
})

const sentence = ({ files, bytes }: Tally, dryRun: boolean): string =>
  [
    dryRun ? `${files.planned} to upload` : `${files.uploaded} uploaded (${formatBytes(bytes.sent)} sent)`,
    `${files.skipped} there already`,
    ...(files.duplicate > 0 ? [`${files.duplicate} with the same bytes as another`] : []),
    `${files.failed} failed`,
  ].join(', ')

/** What ended the run, and how to go on. */
const explained = (error: unknown, { found, files }: Tally): unknown => {
  if (!(error instanceof Stop)) return error
  const settled = Object.values(files).reduce((sum, value) => sum + value, 0)
  const rest = `${settled} of ${found.files} files were done; the same command goes on from there`
  return new Stop(error.code, printable(`${error.message}. ${rest}`), { cause: error })
}
