/** Reference of hot hits: `node:http` alone, sending bytes and headers that were copied from a real answer. */
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface BareAnswer {
  readonly status: 200 | 304
  /** Flat: name, value, name, value… */
  readonly headers: readonly string[]
  readonly body: Uint8Array
}

const listenerOf = ({ status, headers, body }: BareAnswer): RequestListener => {
  const flat = [...headers]
  const bytes = Buffer.from(body)
  return status === 304
    ? (_request, response) => {
        response.writeHead(304, flat)
        response.end()
      }
    : (_request, response) => {
        response.writeHead(200, flat)
        response.end(bytes)
      }
}

const server = createServer({ keepAliveTimeout: 65_000 })
process.on('SIGTERM', () => process.exit(0))
process.on('message', (answer: BareAnswer) => {
  server.removeAllListeners('request')
  server.on('request', listenerOf(answer))
  const tell = (): void => void process.send?.({ port: (server.address() as AddressInfo).port })
  if (server.listening) tell()
  else server.listen(0, '127.0.0.1', tell)
})
