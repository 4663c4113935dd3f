#!/usr/bin/env node
// The `oriel` command. Plain JavaScript: it runs on whatever Node the machine has (20 or newer) and hands over to the project's own.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const main = new URL('../src/cli/main.ts', import.meta.url)
const recent = () => Number(process.versions.node.split('.')[0]) >= 26

// In a fresh clone. Its words go to standard error: standard output is for answers. An installed package has its parts elsewhere.
const installed = /[\\/]node_modules[\\/]/.test(root)
if (!installed && !existsSync(`${root}node_modules/.package-lock.json`)) {
  const steps = [fileURLToPath(new URL('ensure-installed.mjs', import.meta.url))]
  const { status } = spawnSync(process.execPath, steps, { stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(status ?? 1)
}

if (recent()) {
  if (installed) await allowTypesInPackages()
  await import(main.href)
} else {
  const name = process.platform === 'win32' ? 'node.cmd' : 'node'
  const node = [`${root}node_modules/.bin/${name}`, `${root}../.bin/${name}`].find((path) => existsSync(path))
  if (!node) {
    console.error(`oriel: needs Node 26 or newer (this is ${process.version}); get it from https://nodejs.org`)
    process.exit(1)
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  // It ends when the child has said what was done.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    console.error(`oriel: cannot run ${node}: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal ?? 'SIGTERM'] ?? 0)))
}

/** Node strips types everywhere but below node_modules, where an installed package is (ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING). */
async function allowTypesInPackages() {
  const { registerHooks, stripTypeScriptTypes } = await import('node:module')
  const { readFileSync } = await import('node:fs')
  // It warns that it is experimental at its first use; there is nothing that a user could do about it.
  const warn = process.emitWarning
  process.emitWarning = () => {}
  stripTypeScriptTypes('')
  process.emitWarning = warn
  const ours = new URL('..', import.meta.url).href
  registerHooks({
    load: (url, context, next) =>
      url.startsWith(ours) && url.endsWith('.ts')
        ? { format: 'module', shortCircuit: true, source: stripTypeScriptTypes(readFileSync(new URL(url), 'utf8')) }
        : next(url, context),
  })
}
