/**
 * Entry of the embedded engine's own process. chDB replaces the handlers of fatal signals and runs queries on libuv's pool,
 * so it may wedge whatever loads it: it never lives in the process that serves pictures.
 */
import { mkdir, rm } from 'node:fs/promises'
import type { Session } from 'chdb'
import { BEHIND_ANSWERS, setNiceness } from '../core/niceness.ts'
import type { FromHost, HostFault, OpenOrder, ToHost } from './chdb-messages.ts'
import { createChdbServer } from './chdb-server.ts'

type OpenSession = (dir: string) => Session

const send = (message: FromHost): void => {
  process.send?.(message, () => undefined)
}

const fail = (fault: HostFault, error: unknown): void => {
  const message = error instanceof Error ? error.message : String(error)
  process.send?.({ type: 'failed', fault, message: message.slice(0, 2000) } satisfies FromHost, () => process.exit(1))
}

/** The binding is named at run time because it is optional: on Alpine and Windows there is none to import. */
const loadBinding = async (binding: string): Promise<OpenSession> => {
  const loaded = (await import(binding)) as typeof import('chdb')
  return (dir) => new loaded.Session(dir)
}

/** With chDB's own handlers a crash hangs the process instead of ending it (tried: 90 s, twice). */
const restoreFatalSignals = (): void => {
  for (const signal of ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGTRAP', 'SIGSYS'] as const) {
    const ignore = () => undefined
    process.on(signal, ignore)
    process.off(signal, ignore)
  }
}

const open = async (order: OpenOrder): Promise<void> => {
  let openSession: OpenSession
  try {
    openSession = await loadBinding(order.binding)
  } catch (error) {
    return fail('unavailable', error)
  }
  let version: string
  try {
    await rm(order.incoming, { recursive: true, force: true })
    await mkdir(order.incoming, { recursive: true, mode: 0o700 })
    await mkdir(order.dir, { recursive: true, mode: 0o700 })
    // Never closed: it keeps the engine bound to the folder between requests.
    const keep = openSession(order.dir)
    version = keep.query('SELECT version()', 'TabSeparated').trim()
    // Tables load lazily; a broken one must show itself here, where the folder can still be put aside.
    keep.query('SELECT name FROM system.tables WHERE database = currentDatabase()', 'TabSeparated')
  } catch (error) {
    return fail('refused', error)
  }
  restoreFatalSignals()
  const server = createChdbServer({
    openSession: () => openSession(order.dir),
    incoming: order.incoming,
    password: order.password,
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    if (address !== null && typeof address === 'object') send({ type: 'ready', port: address.port, version })
  })
}

// Before the engine is loaded, whose threads inherit it.
setNiceness(BEHIND_ANSWERS)
process.on('disconnect', () => process.exit(0))
// Ctrl-C goes to the whole group; the supervisor decides when the engine goes.
process.on('SIGINT', () => undefined)
process.on('message', (message: ToHost) => {
  if (message.type === 'ping') send({ type: 'pong' })
  else if (message.type === 'stop') process.exit(0)
  else void open(message)
})
