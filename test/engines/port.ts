/** Loopback ports of the services that tests start. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Below what systems give to connections and to those who ask for any port (from 32,768 on Linux, ip(7) ip_local_port_range; from 49,152 by
 * RFC 6335 §6): there a port that was free a moment ago would soon be another's, and one that a stopped service comes back to.
 */
const FIRST_PORT = 10_000
const PORTS = 22_000
/** Test files that run at once look through lanes of their own: Vitest numbers their places from 1. */
const LANES = 8
const LANE_PORTS = Math.floor(PORTS / LANES)
const lane = FIRST_PORT + (Number(process.env.VITEST_POOL_ID ?? 0) % LANES) * LANE_PORTS
let looked = Math.floor(Math.random() * LANE_PORTS)

const isFree = async (port: number): Promise<boolean> => {
  const probe = createServer().listen(port, '127.0.0.1')
  const heard = await once(probe, 'listening').then(
    () => true,
    () => false,
  )
  if (heard) await once(probe.close(), 'close')
  return heard
}

/** A port that is free and that nobody here is given again, until all have been. @throws Error when none is free. */
export const freePort = async (): Promise<number> => {
  for (let tries = 0; tries < LANE_PORTS; tries += 1) {
    const port = lane + (looked++ % LANE_PORTS)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port from ${lane} on`)
}

const START_LIMIT_MS = 60_000

/** Waits until a service that was started listens. @throws Error when it ends first, or takes too long. */
export const answers = async (name: string, port: number, child: ChildProcess): Promise<void> => {
  for (const until = Date.now() + START_LIMIT_MS; Date.now() < until; await sleep(10)) {
    if (child.exitCode !== null) throw new Error(`${name} exited with ${child.exitCode}`)
    const socket = connect(port, '127.0.0.1')
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (connected) return
  }
  throw new Error(`${name} does not listen on ${port} after ${START_LIMIT_MS} ms`)
}
