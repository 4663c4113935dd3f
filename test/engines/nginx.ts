/** Debian's nginx with the generated edge in front of some origins, on a free port, in a temporary folder. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NGINX_DEFAULTS, renderNginx } from '../../edge/generate/nginx.ts'
import type { NginxSettings } from '../../edge/generate/settings.ts'
import { freePort } from './port.ts'

export const PURGE_KEY = 'a-purge-key-for-tests'

/** In one line what is left out without it; with CI set it must be there. */
const has = (command: string, argument: string): boolean => spawnSync(command, [argument]).error === undefined

export const nginxThere = has('nginx', '-v')
if (!nginxThere) {
  if (process.env.CI) throw new Error('nginx is not installed: apt-get install nginx')
  console.log('left out: the edge in nginx, which is not installed (apt-get install nginx)')
}

export interface Edge extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  readonly folder: string
}

export interface NginxOptions extends Partial<NginxSettings> {
  /** More text for the `http` block, such as a server that tells what it made of a request. */
  readonly extra?: string
  readonly withoutKey?: boolean
  /** Directives outside `http`. */
  readonly directives?: string
  /** Else a free one. */
  readonly port?: number
}

export const startNginx = async ({
  extra = '',
  withoutKey = false,
  directives = '',
  port: given,
  ...settings
}: NginxOptions): Promise<Edge> => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-nginx-'))
  // Its workers are another user's, if we are root.
  await chmod(folder, 0o755)
  const port = given ?? (await freePort())
  const files = renderNginx({
    ...NGINX_DEFAULTS,
    listen: `127.0.0.1:${port}`,
    inner: `127.0.0.1:${await freePort()}`,
    cacheFolder: join(folder, 'cache'),
    bodyFolder: join(folder, 'state'),
    logFile: join(folder, 'events.log.gz'),
    pidFile: join(folder, 'pid'),
    ...settings,
  })
  for (const [name, text] of Object.entries(files))
    await writeFile(join(folder, name), name === 'nginx.conf' ? text.replace(/\}\s*$/, `${extra}\n}\n`) : text)
  if (!withoutKey) await writeFile(join(folder, 'purge-key.conf'), `"${PURGE_KEY}" 1;\n`)
  const child = spawn('nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder, '-g', `daemon off; ${directives}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const errors = collect(child)
  await answers(port, child, errors)
  return {
    pid: child.pid ?? 0,
    url: `http://127.0.0.1:${port}`,
    folder,
    [Symbol.asyncDispose]: async () => {
      await stopped(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What a child writes to its standard error, so far. */
export const collect = (child: ChildProcess): (() => string) => {
  let text = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  return () => text
}

export const stopped = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await exited
}

const TRIES = 400

/** Resolves when the edge answers what it answers without asking an origin. */
export const answers = async (port: number, child: ChildProcess, errors: () => string): Promise<void> => {
  for (let tries = 0; tries < TRIES; tries++) {
    if (child.exitCode !== null) throw new Error(`it exited with ${child.exitCode}:\n${errors()}`)
    const response = await fetch(`http://127.0.0.1:${port}/purge/${'0'.repeat(64)}`).catch(() => undefined)
    if (response) {
      await response.arrayBuffer()
      return
    }
    await sleep(25)
  }
  throw new Error(`nothing answers on port ${port}:\n${errors()}`)
}
