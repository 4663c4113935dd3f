import { describe, it } from 'vitest'
import { nginxThere, startNginx } from '../engines/nginx.ts'
import { freePort } from '../engines/port.ts'
import { agree } from './agree.ts'

describe.runIf(nginxThere)('nginx’s maps', () => {
  it('make the same key as the pure function of the same thousand header sets', async () => {
    const port = await freePort()
    await using _edge = await startNginx({
      extra: `server { listen 127.0.0.1:${port}; location / { add_header X-Key "[$oriel_key]"; return 204; } }`,
    })
    await agree(`http://127.0.0.1:${port}`)
  })
})
