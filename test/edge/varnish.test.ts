import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'vitest'
import { startVarnish, varnishThere } from '../engines/varnish.ts'
import { agree } from './agree.ts'

describe.runIf(varnishThere)('Varnish’s subroutines', () => {
  it('make the same key as the pure function of the same thousand header sets', async () => {
    const origin = createServer((_, response) => response.setHeader('Cache-Control', 'no-store').end())
    await once(origin.listen(0, '127.0.0.1'), 'listening')
    const { port } = origin.address() as AddressInfo
    await using edge = await startVarnish({
      origins: [{ host: '127.0.0.1', port }],
      extra: 'sub vcl_deliver { set resp.http.x-key = "[" + req.http.x-oriel-key + "]"; }\n',
    })
    await agree(edge.url)
    origin.closeAllConnections()
    origin.close()
  })
})
