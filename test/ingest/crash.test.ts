import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { type AssetId, parseDigest } from '../../src/core/ids.ts'
import { findAsset } from '../../src/metadata/assets.ts'
import { openWritePath, temporaryFolder, type WritePath } from '../fixtures/write-path.ts'

const CHILD = fileURLToPath(new URL('../fixtures/upload-child.ts', import.meta.url))
const never = new AbortController().signal

interface Line {
  readonly word: string
  readonly id: string
  readonly hash: string
}

/** Runs the child until it is killed: by us `afterMs` after its first answer, or by itself. */
const runUntilKilled = async (folder: string, own: readonly string[], afterMs?: number): Promise<readonly Line[]> => {
  const child = spawn(process.execPath, [CHILD, folder, ...own], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const closed = once(child, 'close')
  if (afterMs !== undefined) {
    while (!output.includes('\n') && child.exitCode === null) await sleep(5)
    await sleep(afterMs)
    child.kill('SIGKILL')
  }
  const [, signal] = await closed
  expect(signal).toBe('SIGKILL')
  return output
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' '))
    .map(([word = '', id = '', hash = '']) => ({ word, id, hash }))
}

const bytesVerify = async (path: WritePath, hash: string): Promise<boolean> => {
  const bytes = await buffer(await path.originals.read(parseDigest(hash), undefined, never))
  return createHash('sha256').update(bytes).digest('hex') === hash
}

/** CONTRACT §7.1 and §7.3 after a restart. */
const expectWhole = async (folder: string, lines: readonly Line[]): Promise<void> => {
  await using path = await openWritePath({ folder, graceMs: 0 })
  expect(await readdir(join(folder, 'staging'))).toEqual([])
  const maybeDeleted = new Set(lines.filter(({ word }) => word === 'deleting').map(({ id }) => id))
  for (const { id, hash } of lines.filter(({ word }) => word === 'uploaded')) {
    if (maybeDeleted.has(id)) continue
    const asset = await findAsset(path.metadata.read, id as AssetId)
    expect(asset).toMatchObject({ digest: hash, deletedAt: null })
    expect(await bytesVerify(path, hash)).toBe(true)
  }
  for (const { id } of lines.filter(({ word }) => word === 'deleted')) {
    const asset = await findAsset(path.metadata.read, id as AssetId)
    expect(asset?.deletedAt).not.toBeNull()
  }
  const rows = await path.metadata.read.selectFrom('originals').select('digest').execute()
  for (const { digest } of rows) expect(await bytesVerify(path, digest)).toBe(true)
  await path.collector.sweep(never)
  await path.collector.scan(never)
  const left: string[] = []
  for await (const { digest } of path.originals.list()) left.push(digest)
  const live = await path.metadata.read.selectFrom('assets').select('digest').distinct().execute()
  expect(left.sort()).toEqual(live.map(({ digest }) => digest).sort())
}

describe('kill -9 and a restart lose nothing that was acknowledged', () => {
  it.for([
    ['staged', 0],
    ['staged', 9],
    ['published', 0],
    ['published', 5],
    ['committed', 0],
    ['committed', 14],
    ['purged', 0],
    ['purged', 3],
  ] as const)('at the point where an upload or a removal is %s, passed %i times', async ([step, passes]) => {
    await using folder = await temporaryFolder()
    await expectWhole(folder.path, await runUntilKilled(folder.path, [step, String(passes)]))
  })

  it('at random moments, again and again on the same data', async () => {
    await using folder = await temporaryFolder()
    const lines: Line[] = []
    for (let round = 0; round < 5; round++) {
      lines.push(...(await runUntilKilled(folder.path, [], Math.random() * 300)))
      await expectWhole(folder.path, lines)
    }
    expect(lines.filter(({ word }) => word === 'uploaded').length).toBeGreaterThanOrEqual(5)
  }, 180_000)
})
