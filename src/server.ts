/** The server's life: judge the configuration, compose, listen, and on SIGTERM or SIGINT drain: nothing in flight is cut off. */
import { createServer } from 'node:http'
import { flushCompileCache } from 'node:module'
import type { AddressInfo } from 'node:net'
import { readConfig } from '../config/environment.ts'
import { banner } from './banner.ts'
import { compose } from './compose.ts'
import { openSecrets } from './first-start.ts'
import { createLogger } from './telemetry.ts'

/** In-flight requests get this long after SIGTERM; a container runtime kills at 10 s by default, and closing needs the rest. */
const DRAIN_MS = 5_000

const start = async (env: NodeJS.ProcessEnv): Promise<void> => {
  const config = readConfig(env)
  const log = createLogger(config.ORIEL_LOG_LEVEL)
  const secrets = await openSecrets(config)
  const origin = await compose(config, secrets, log)

  const server = createServer({ keepAliveTimeout: 65_000, headersTimeout: 20_000, requestTimeout: 0 }, origin.handle)
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(config.PORT, config.HOST, resolve)
  })
  const { port } = server.address() as AddressInfo
  process.stdout.write(banner({ port, dataFolder: config.ORIEL_DATA, secrets, samplePhoto: 'test/fixtures/photo.jpg' }))

  let draining = false
  const drain = async (signal: string): Promise<void> => {
    if (draining) process.exit(1)
    draining = true
    log.info({ signal }, 'draining')
    const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
    await new Promise((resolve) => {
      server.close(resolve)
      server.closeIdleConnections()
    })
    clearTimeout(cut)
    await origin.close()
    log.info('stopped')
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void drain(signal))
}

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
