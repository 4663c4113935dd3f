/** `oriel upload` to an origin on S3: large files go into the store, and by the origin where the store is out of reach. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { parseLines, run } from './command.ts'
import { metric } from './metric.ts'
import { ADMIN_KEY, startOrigin } from './origin.ts'

const MIB = 1024 * 1024
const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))

describe.runIf(cephIsHere)('oriel upload to an origin on S3', () => {
  let ceph: Ceph
  let folder: string
  beforeAll(async () => {
    ceph = await startCeph()
    folder = await mkdtemp(join(tmpdir(), 'oriel-cli-direct-'))
  }, 60_000)
  afterAll(async () => {
    await ceph?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  it.each([
    { reach: 'puts the chunks into the store', query: '', chunks: 0 },
    // Port 9 of this machine: nobody listens there.
    {
      reach: 'sends them to the origin when it cannot reach the store',
      query: '&public_endpoint=http://127.0.0.1:9',
      chunks: 5,
    },
  ])(
    '$reach',
    async ({ query, chunks }) => {
      await using origin = await startOrigin({
        env: {
          ...ceph.credentials,
          ORIEL_BLOBS: `s3://${await ceph.createBucket()}?endpoint=${ceph.endpoint}${query}`,
          ORIEL_ANALYTICS: 'off',
        },
      })
      const path = join(folder, `${chunks}.jpg`)
      await writeFile(path, Buffer.concat([photo, randomBytes(33 * MIB)]))
      const env = { ORIEL_SERVER: origin.url, ORIEL_KEY: ADMIN_KEY, XDG_STATE_HOME: join(folder, 'state') }
      const { code, out, err } = await run(['upload', path, '--json'], { env })
      expect({ code, err }).toMatchObject({ code: 0 })
      expect(parseLines(out)[0]).toMatchObject({ status: 'uploaded' })
      expect(out + err).not.toContain('X-Amz')
      expect(await metric(origin, 'sessions_chunks_total')).toBe(chunks)
      expect(await metric(origin, 'sessions_completed_total')).toBe(1)
      expect(await metric(origin, 'sessions_parts_signed_total')).toBe(5)
    },
    60_000,
  )
})
