/** An embedded origin whose disk fills up: a small file system in memory, where we may mount one. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startOrigin } from '../e2e/origin.ts'

const SIZE = '96m'
const FULL_MS = 5_000
const CHUNK = Buffer.alloc(64 * 1024)

const mount = async (): Promise<(AsyncDisposable & { readonly folder: string }) | undefined> => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-full-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    await rm(folder, { recursive: true })
    return undefined
  }
  return {
    folder,
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', ['-l', folder])
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Writes until there is no byte left. */
const fill = async (path: string): Promise<void> => {
  await using file = await open(path, 'w')
  for (const chunk of [CHUNK, CHUNK.subarray(0, 4096)]) {
    try {
      for (;;) await file.write(chunk)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
}

export interface SmallDisk extends AsyncDisposable {
  readonly url: string
  readonly output: () => string
  /** Full for a while, then with room again. */
  readonly run: () => Promise<undefined>
}

/** @returns undefined where mounting is not allowed. */
export const startOnSmallDisk = async (): Promise<SmallDisk | undefined> => {
  await using opened = new AsyncDisposableStack()
  const disk = await mount()
  if (!disk) return undefined
  opened.use(disk)
  const env = { ORIEL_RENDERERS: '1', ORIEL_LOG_LEVEL: 'warn' }
  const origin = opened.use(await startOrigin({ data: join(disk.folder, 'data'), env }))
  const ballast = join(disk.folder, 'ballast')
  const toClose = opened.move()
  return {
    url: origin.url,
    output: origin.output,
    run: async () => {
      await fill(ballast)
      await sleep(FULL_MS)
      await rm(ballast)
      return undefined
    },
    [Symbol.asyncDispose]: () => toClose.disposeAsync(),
  }
}
