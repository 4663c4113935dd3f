import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { diskHealth } from '../src/compose-blobs.ts'
import { createHealthChecks } from '../src/compose-health.ts'
import { AppError } from '../src/core/errors.ts'
import { openSqliteMetadata } from '../src/metadata/sqlite.ts'
import { temporaryFolder } from './fixtures/write-path.ts'

type Engines = Parameters<typeof createHealthChecks>[0]

/** Renderers as their pool shows them. */
const pool = (
  processes: number,
  started: number,
  warm: () => Promise<void> = async () => undefined,
): Engines['pool'] => ({
  stats: { processes, started, rejected: 0 } as Engines['pool']['stats'],
  warm,
})

const open = async () => {
  const folder = await temporaryFolder()
  const metadata = await openSqliteMetadata(join(folder.path, 'oriel.db'))
  for (const name of ['originals', 'staging']) await mkdir(join(folder.path, name))
  const checksWith = (renderers = pool(2, 2)) =>
    createHealthChecks({
      metadata,
      blobs: { check: () => diskHealth(folder.path) },
      pool: renderers,
      analytics: undefined,
    })
  return {
    folder: folder.path,
    metadata,
    checksWith,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

describe('the check of', () => {
  it('metadata finds a thread that died', async () => {
    await using opened = await open()
    const { metadata } = opened.checksWith()
    expect(await metadata?.()).toEqual({ state: 'ready', detail: 'SQLite' })
    await opened.metadata[Symbol.asyncDispose]()
    expect(await metadata?.()).toEqual({ state: 'down', detail: 'the writer’s thread died: exit code 0' })
  })

  it.for(['originals', 'staging'])('the disk fails without %s, and leaves nothing behind', async (name) => {
    await using opened = await open()
    await using _closed = opened.metadata
    const { blobs } = opened.checksWith()
    expect(await blobs?.()).toMatchObject({ state: 'ready' })
    expect(await readdir(join(opened.folder, 'staging'))).toEqual([])
    await rename(join(opened.folder, name), join(opened.folder, 'away'))
    await expect(blobs?.()).rejects.toThrow('ENOENT')
    await rename(join(opened.folder, 'away'), join(opened.folder, name))
    expect(await blobs?.()).toMatchObject({ state: 'ready' })
  })

  it('the disk fails where originals is no folder', async () => {
    await using opened = await open()
    await using _closed = opened.metadata
    await rm(join(opened.folder, 'originals'), { recursive: true })
    await rename(join(opened.folder, 'oriel.db-shm'), join(opened.folder, 'originals'))
    await expect(opened.checksWith().blobs?.()).rejects.toThrow('originals/ is no folder')
  })

  it('renderers starts those that all went, and is down when none starts', async () => {
    await using opened = await open()
    await using _closed = opened.metadata
    const stateOf = async (renderers: Engines['pool']) => (await opened.checksWith(renderers).renderers?.())?.state
    expect(await stateOf(pool(2, 2))).toBe('ready')
    expect(await stateOf(pool(0, 0))).toBe('idle')
    let warmed = 0
    const warm = async () => {
      warmed++
    }
    expect(await stateOf(pool(0, 2, warm))).toBe('ready')
    expect(warmed).toBe(1)
    const failing = pool(0, 2, () => Promise.reject(new AppError('busy', 'no renderer could be started')))
    await expect(stateOf(failing)).rejects.toThrow('no renderer could be started')
  })
})
