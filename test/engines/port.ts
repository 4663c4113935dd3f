/** Loopback ports of the services that tests start. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Ports that were free a moment ago, held together so that they differ. */
export const freePorts = async (count: number): Promise<readonly number[]> => {
  const probes = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(probes.map((probe) => once(probe, 'listening')))
  const ports = probes.map((probe) => (probe.address() as AddressInfo).port)
  await Promise.all(probes.map((probe) => once(probe.close(), 'close')))
  return ports
}

export const freePort = async (): Promise<number> => (await freePorts(1))[0] ?? 0

const START_LIMIT_MS = 20_000

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
