/** The real `oriel` command as a process of its own, for tests that do what users do. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const ORIEL = join(ROOT, 'bin/oriel.mjs')

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly uid?: number
  readonly cwd?: string
}

export interface Ended {
  readonly code: number | NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

export interface Running {
  readonly child: ChildProcess
  /** So far. */
  lines(): readonly Record<string, unknown>[]
  readonly ended: Promise<Ended>
}

export const begin = (args: readonly string[], { env, uid, cwd = ROOT }: RunOptions = {}): Running => {
  const child = spawn(process.execPath, [ORIEL, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid !== undefined && { uid }),
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code ?? signal, out, err }) as Ended)
  return { child, lines: () => parseLines(out), ended }
}

export const run = (args: readonly string[], options?: RunOptions): Promise<Ended> => begin(args, options).ended

/** Of `--json`; a line that has not ended is not there yet. */
export const parseLines = (out: string): readonly Record<string, unknown>[] =>
  out
    .slice(0, out.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
