// Installs the locked dependencies once, so that `npm start` and `npm test` are the only commands a newcomer needs.
// Plain JavaScript without dependencies: it runs on whatever Node the machine has (20 or newer).
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const lock = `${root}package-lock.json`
// npm writes this file at the end of every install: older than the lock means the lock has changed since.
const installed = `${root}node_modules/.package-lock.json`

if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
  console.log('Installing dependencies (once, about 20 seconds)…')
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (status !== 0) {
    console.error('Could not install the dependencies: see the lines above, then run `npm ci`.')
    process.exit(1)
  }
}

const bundledNode = `${root}node_modules/.bin/node${process.platform === 'win32' ? '.cmd' : ''}`
if (!existsSync(bundledNode) && Number(process.versions.node.split('.')[0]) < 26) {
  console.error(
    `Oriel needs Node 26 or newer (this is ${process.version}), and the registry has no Node binary for ` +
      `${process.platform}-${process.arch}. Install Node 26 from https://nodejs.org and try again.`,
  )
  process.exit(1)
}
