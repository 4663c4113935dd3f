/** The entry of the command line: the process's streams and signals, and nothing else. `bin/oriel.mjs` starts it. */
import { enableCompileCache } from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Stop } from './exit.ts'
import type { World } from './world.ts'

// As in ../main.ts: with it a command is up in half the time.
enableCompileCache(
  process.env.NODE_COMPILE_CACHE ?? fileURLToPath(new URL('../../node_modules/.cache/oriel', import.meta.url)),
)

/** One press of Ctrl-C may reach us twice, from the terminal and from the process in front of us. */
const SAME_PRESS_MS = 500
/** Some pseudo-terminals have none. */
const DEFAULT_COLUMNS = 80

const interrupted = new AbortController()
let firstAt = 0
const interrupt = (name: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => {
  const code = 128 + constants.signals[name]
  if (interrupted.signal.aborted && performance.now() - firstAt > SAME_PRESS_MS) process.exit(code)
  if (interrupted.signal.aborted) return
  firstAt = performance.now()
  interrupted.abort(new Stop(code, 'interrupted'))
}
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt(name))

// Whoever read our answers has gone, such as `head`: there is nobody to go on for.
process.stdout.on('error', () => process.exit(1))
process.stderr.on('error', () => undefined)

const world: World = {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  interactive: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
  columns: () => process.stderr.columns || DEFAULT_COLUMNS,
  signal: interrupted.signal,
}

const { runCli } = await import('./cli.ts')
process.exitCode = await runCli(process.argv.slice(2), world)
