/** A throw-away PostgreSQL cluster on a free loopback port: real server, a second to start, gone with the test. */
import { execFile, execFileSync } from 'node:child_process'
import { chownSync, globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { describe } from 'vitest'
import { freePort } from './port.ts'

const run = promisify(execFile)

/** Debian's folder of the newest version, else what the path has. */
const findBinaries = (): string | undefined => {
  const [debian] = globSync('/usr/lib/postgresql/*/bin').sort((a, b) =>
    b.localeCompare(a, undefined, { numeric: true }),
  )
  if (debian) return debian
  try {
    return dirname(execFileSync('which', ['initdb'], { encoding: 'utf8' }).trim())
  } catch {
    return undefined
  }
}

const binaries = findBinaries()

/** Whether it is installed. Where not, a developer is told in a line what is left out and goes on; CI fails. */
export const postgresIsHere = (wanted: string): boolean => {
  if (binaries) return true
  if (process.env.CI === 'true') throw new Error('PostgreSQL is not installed: apt-get install postgresql')
  process.stderr.write(`left out: ${wanted} (PostgreSQL is not installed: apt-get install postgresql)\n`)
  return false
}

/** A suite that needs PostgreSQL. */
export const describePostgres = (name: string, suite: () => void): void => {
  if (postgresIsHere(name)) describe(name, suite)
  else describe.skip(name, suite)
}

export interface PostgresCluster extends AsyncDisposable {
  /** A new database of its own; its URL. */
  createDatabase(): Promise<string>
  /** `fast` ends sessions with a word, `immediate` as a power cut does. */
  restart(mode: 'fast' | 'immediate'): Promise<void>
  stop(mode: 'fast' | 'immediate'): Promise<void>
  start(): Promise<void>
}

/** `max_connections` is small enough to run out of, and large enough for five processes. */
export const startPostgres = async (maxConnections = 100): Promise<PostgresCluster> => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-pg-'))
  const port = await freePort()
  if (process.getuid?.() === 0) chownSync(folder, userId('-u'), userId('-g'))
  const data = join(folder, 'data')
  await asServer(
    folder,
    'initdb',
    '-D',
    data,
    '-U',
    'test',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  )
  const options = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    `unix_socket_directories=''`,
    // Nothing here must survive a power cut of the machine, and a restart of the server it survives.
    'fsync=off',
    'shared_buffers=64MB',
    `max_connections=${maxConnections}`,
    'autovacuum=off',
  ]
  const flags = options.map((option) => `-c ${option}`).join(' ')
  const control = (...words: readonly string[]) =>
    asServer(folder, 'pg_ctl', '-D', data, '-w', '-t', '60', '-l', join(folder, 'log'), ...words)
  const start = async () => void (await control('-o', flags, 'start'))
  const stop = async (mode: 'fast' | 'immediate') => void (await control('-m', mode, 'stop'))
  await start()
  let databases = 0
  return {
    start,
    stop,
    restart: async (mode) => {
      await stop(mode)
      await start()
    },
    createDatabase: async () => {
      databases += 1
      const name = `oriel_${databases}`
      const client = new Client({ connectionString: `postgres://test@127.0.0.1:${port}/postgres` })
      await client.connect()
      await client.query(`create database ${name}`)
      await client.end()
      return `postgres://test@127.0.0.1:${port}/${name}`
    },
    [Symbol.asyncDispose]: async () => {
      await stop('immediate').catch(() => undefined)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The server refuses to run as root; root becomes the user that the package made. */
const asServer = async (cwd: string, program: string, ...words: readonly string[]): Promise<void> => {
  const path = join(binaries ?? '', program)
  const switching = ['--reuid=postgres', '--regid=postgres', '--clear-groups', path, ...words]
  // Its own folder as the current one: ours may be closed to that user.
  if (process.getuid?.() === 0) await run('setpriv', switching, { cwd, env: { HOME: cwd, PATH: '/usr/bin:/bin' } })
  else await run(path, [...words], { cwd })
}

const userId = (flag: '-u' | '-g'): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))

/** A statement of the test itself, past every driver. */
export const ask = async <Row extends object>(url: string, sql: string): Promise<readonly Row[]> => {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}
