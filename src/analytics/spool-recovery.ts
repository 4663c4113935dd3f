/** What an earlier process left in the spool: names are read, segments cut short by a crash end at their last whole frame. */
import { open, readdir, readFile, rename, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeFrames } from './frame.ts'
import type { AnalyticsLog } from './log.ts'

export interface Segment {
  /** `<sequence>-<random>`: order in the queue, and the insert's deduplication token. */
  readonly token: string
  readonly path: string
  readonly rows: number
  readonly bytes: number
  /** Unix milliseconds of its first event, or of its last write when found on disk. */
  readonly since: number
}

export interface Recovered {
  /** Oldest first. */
  readonly segments: readonly Segment[]
  readonly nextSequence: number
  /** Paths of segments put aside earlier. */
  readonly rejected: readonly string[]
}

/** `<token>.<rows>.ready`; the rows are in the name so that nothing has to be read to count what waits. */
export const readyFileName = (token: string, rows: number): string => `${token}.${rows}.ready`

const READY = /^((\d+)-[0-9a-f]+)\.(\d+)\.ready$/
const OPEN = /^((\d+)-[0-9a-f]+)\.open$/

/** Makes renames and creations inside a folder durable. Windows cannot open folders and orders its own metadata. */
export const syncFolder = async (dir: string): Promise<void> => {
  if (process.platform === 'win32') return
  const folder = await open(dir, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Lists the queue oldest first. A segment that cannot be recovered is logged and left where it is. */
export const recoverSegments = async (dir: string, log: AnalyticsLog): Promise<Recovered> => {
  const segments: Segment[] = []
  let nextSequence = 0
  for (const name of (await readdir(dir)).sort()) {
    const sequence = Number((READY.exec(name) ?? OPEN.exec(name))?.[2] ?? Number.NaN)
    if (Number.isNaN(sequence)) continue
    nextSequence = Math.max(nextSequence, sequence + 1)
    try {
      const segment = await recover(dir, name)
      if (segment !== undefined) segments.push(segment)
    } catch (err) {
      log.error({ err, name }, 'analytics: spool segment cannot be read')
    }
  }
  await syncFolder(dir)
  const rejected = (await readdir(join(dir, 'rejected'))).sort().map((name) => join(dir, 'rejected', name))
  return { segments, nextSequence, rejected }
}

const recover = async (dir: string, name: string): Promise<Segment | undefined> => {
  const path = join(dir, name)
  const [, readyToken, , readyRows] = READY.exec(name) ?? []
  if (readyToken !== undefined) {
    const { size, mtimeMs } = await stat(path)
    return { token: readyToken, path, rows: Number(readyRows), bytes: size, since: mtimeMs }
  }
  const token = OPEN.exec(name)?.[1] ?? name
  const { rows, bytes } = soundPart(await readFile(path))
  if (rows === 0) {
    await rm(path, { force: true })
    return undefined
  }
  const { mtimeMs } = await stat(path)
  await truncate(path, bytes)
  const ready = join(dir, readyFileName(token, rows))
  await rename(path, ready)
  return { token, path: ready, rows, bytes, since: mtimeMs }
}

/** Events and bytes of the whole frames that a segment begins with. */
export const soundPart = (segment: Buffer): { readonly rows: number; readonly bytes: number } => {
  let [rows, bytes] = [0, 0]
  for (const frame of decodeFrames(segment)) {
    rows += frame.rows
    bytes = frame.end
  }
  return { rows, bytes }
}
