/** Reference of uploads: `node:http` that receives, hashes and writes one synced file each; no checks, no rows, no folder sync. */
import { createHash } from 'node:crypto'
import { mkdtemp, open, rename, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = await mkdtemp(join(tmpdir(), 'oriel-bench-bare-'))
let files = 0

const store = async (request: IncomingMessage): Promise<string> => {
  files += 1
  const temporary = join(folder, `${files}.tmp`)
  const hash = createHash('sha256')
  await using file = await open(temporary, 'wx')
  for await (const chunk of request) {
    hash.update(chunk as Buffer)
    await file.write(chunk as Buffer)
  }
  await file.sync()
  const digest = hash.digest('hex')
  await rename(temporary, join(folder, digest))
  return digest
}

const server = createServer((request, response) => {
  store(request).then(
    (digest) => {
      const body = JSON.stringify({ digest })
      response.writeHead(201, ['Content-Type', 'application/json', 'Content-Length', String(body.length)])
      response.end(body)
    },
    () => response.destroy(),
  )
})
process.on('message', () => {
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
})
process.on('SIGTERM', () => {
  server.closeAllConnections()
  void rm(folder, { recursive: true, force: true }).then(() => process.exit(0))
})
