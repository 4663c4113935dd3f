/** What the figures were measured on. */
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import sharp from 'sharp'

const GIB = 1024 ** 3

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly system: string
  readonly node: string
  readonly sharp: string
  readonly vips: string
  readonly commit: string
  readonly date: string
}

const commit = (): string => {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

export const describeMachine = (): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
  cores: availableParallelism(),
  memoryGib: Math.round(totalmem() / GIB),
  system: `${type()} ${release()}`,
  node: process.versions.node,
  sharp: sharp.versions.sharp ?? 'unknown',
  vips: sharp.versions.vips,
  commit: commit(),
  date: new Date().toISOString().slice(0, 16).replace('T', ' '),
})
