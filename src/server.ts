/** The server's life: judge the configuration, compose, listen, and on SIGTERM or SIGINT drain: nothing in flight is cut off. */
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { flushCompileCache } from 'node:module'
import type { AddressInfo } from 'node:net'
import { type Config, readConfig } from '../config/environment.ts'
import { banner } from './banner.ts'
import { compose } from './compose.ts'
import { openSecrets } from './first-start.ts'
import { answerClientError } from './http/client-error.ts'
import { createLogger } from './telemetry.ts'

/** In-flight requests get this long after SIGTERM; a container runtime kills at 10 s by default, and closing needs the rest. */
const DRAIN_MS = 5_000

/** A connection whose request was in flight becomes idle with its answer, and its client may keep it for a minute. */
const CLOSE_IDLE_EVERY_MS = 100

/** Whatever the process makes, the database and its log too, is its own user's alone: umask(2) takes the others' bits away. */
const OWNER_ONLY = 0o077

const start = async (env: NodeJS.ProcessEnv): Promise<void> => {
  process.umask(OWNER_ONLY)
  const config = readConfig(env)
  const log = createLogger(config.ORIEL_LOG_LEVEL)
  const secrets = await openSecrets(config)
  const origin = await compose(config, secrets, log)

  const server = createServer({ keepAliveTimeout: 65_000, headersTimeout: 20_000, requestTimeout: 0 }, origin.handle)
  server.on('clientError', answerClientError)
  try {
    await listen(server, config)
  } catch (error) {
    await origin.close()
    throw error
  }
  const { port } = server.address() as AddressInfo
  process.stdout.write(banner({ port, dataFolder: config.ORIEL_DATA, secrets, samplePhoto: samplePhoto() }))

  let draining = false
  const drain = async (signal: string): Promise<void> => {
    if (draining) process.exit(1)
    draining = true
    log.info({ signal }, 'draining')
    origin.drain()
    const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
    const closing = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_EVERY_MS)
    await new Promise((resolve) => {
      server.close(resolve)
      server.closeIdleConnections()
    })
    clearInterval(closing)
    clearTimeout(cut)
    await origin.close()
    log.info('stopped')
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void drain(signal))
}

/** The image and the package come without the tests' photo: there it is the reader's own. */
const samplePhoto = (): string => (existsSync(SAMPLE_PHOTO) ? SAMPLE_PHOTO : 'photo.jpg')
const SAMPLE_PHOTO = 'test/fixtures/photo.jpg'

/** @throws Error naming the address and the variables that set it. */
const listen = (server: Server, { PORT, HOST }: Pick<Config, 'PORT' | 'HOST'>): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'another process listens there' : cause.message
      reject(new Error(`cannot listen on port ${PORT} of ${HOST} (PORT, HOST): ${why}`, { cause }))
    })
    server.listen(PORT, HOST, resolve)
  })

/** Starts, or says on standard error why not and exits with 1. Returns when the server listens. */
export const serve = async (env: NodeJS.ProcessEnv): Promise<void> => {
  try {
    await start(env)
    // The cache is written at exit, and a server may be killed: what was compiled for its start is kept now.
    flushCompileCache()
  } catch (error) {
    process.stderr.write(`oriel: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
}
