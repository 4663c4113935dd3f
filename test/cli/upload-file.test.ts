/** One file against a server that answers as it is told, in this process. */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createClient } from '../../src/cli/client.ts'
import { createPlaces } from '../../src/cli/places.ts'
import { createSessionFiles } from '../../src/cli/session-file.ts'
import { createReach } from '../../src/cli/store.ts'
import { uploadFile } from '../../src/cli/upload-file.ts'

/** @param refuse called before an upload is refused. */
const uploadRefused = async (refuse: (path: string) => Promise<void>) => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-upload-'))
  const path = join(folder, 'a.jpg')
  await writeFile(path, 'as it was')
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const answer = (status: number, body: object) => response.writeHead(status).end(JSON.stringify(body))
    request.resume()
    await once(request, 'end')
    if (request.url === '/assets/precheck') return void answer(200, { exists: false, owned: false })
    await refuse(path)
    answer(400, { detail: 'the digest is another' })
  }
  const server = createServer((request, response) => void handle(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  using client = createClient({ url, key: 'k' }, 2)
  const context = {
    client,
    sessions: createSessionFiles(join(folder, 'state'), url, () => undefined),
    withPlace: createPlaces(1),
    reach: createReach(),
    persistence: { signal: new AbortController().signal },
    tags: [],
    visibility: undefined,
    dryRun: false,
    twins: new Map(),
  }
  try {
    const { outcome } = await uploadFile(path, context, { onSent: () => undefined, onThere: () => undefined })
    return outcome.status === 'failed' ? outcome.why : outcome.status
  } finally {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  }
}

it('says that a file changed while it was sent, whatever the server made of it', async () => {
  expect(await uploadRefused((path) => writeFile(path, 'as it is now'))).toBe('the file changed while it was sent')
  expect(await uploadRefused(async () => undefined)).toBe('the digest is another (400)')
})
