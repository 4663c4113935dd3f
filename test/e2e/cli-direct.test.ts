/** `oriel upload` to an origin on S3: large files go into the store, and by the origin where the store is out of reach. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { startFaultyProxy } from '../engines/faulty-proxy.ts'
import { begin, parseLines, run } from './command.ts'
import { metric } from './metric.ts'
import { ADMIN_KEY, type Origin, startOrigin } from './origin.ts'

const MIB = 1024 * 1024
const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))

describe.runIf(cephIsHere)('oriel upload to an origin on S3', () => {
  let ceph: Ceph
  let folder: string
  beforeAll(async () => {
    ceph = await startCeph()
    folder = await mkdtemp(join(tmpdir(), 'oriel-cli-direct-'))
  })
  afterAll(async () => {
    await ceph?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const start = async (query: string) =>
    startOrigin({
      env: {
        ...ceph.credentials,
        ORIEL_PARTS_KEY: `${ceph.partsKey.accessKeyId}:${ceph.partsKey.secretAccessKey}`,
        ORIEL_BLOBS: `s3://${await ceph.createBucket()}?endpoint=${ceph.endpoint}${query}`,
        ORIEL_ANALYTICS: 'off',
      },
    })
  const environment = (origin: Origin) => ({
    ORIEL_SERVER: origin.url,
    ORIEL_KEY: ADMIN_KEY,
    XDG_STATE_HOME: join(folder, 'state'),
  })
  /** Five chunks of 8 MiB by default. */
  const bigPhoto = async (name: string, bytes = 33 * MIB): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, Buffer.concat([photo, randomBytes(bytes)]))
    return path
  }

  it.each([
    { reach: 'puts the chunks into the store', query: '', chunks: 0 },
    // Port 9 of this machine: nobody listens there.
    {
      reach: 'sends them to the origin when it cannot reach the store',
      query: '&public_endpoint=http://127.0.0.1:9',
      chunks: 5,
    },
  ])('$reach', async ({ query, chunks }) => {
    await using origin = await start(query)
    const path = await bigPhoto(`${chunks}.jpg`)
    const { code, out, err } = await run(['upload', path, '--json'], { env: environment(origin) })
    expect({ code, err }).toMatchObject({ code: 0 })
    expect(parseLines(out)[0]).toMatchObject({ status: 'uploaded' })
    expect(out + err).not.toContain('X-Amz')
    expect(await metric(origin, 'sessions_chunks_total')).toBe(chunks)
    expect(await metric(origin, 'sessions_completed_total')).toBe(1)
    expect(await metric(origin, 'sessions_parts_signed_total')).toBe(5)
  })

  it('sends to the origin what the store refuses now and then, and the rest to the store all the same', async () => {
    await using proxy = await startFaultyProxy(ceph.port, 'http')
    await using origin = await start(`&public_endpoint=${proxy.url}`)
    const path = await bigPhoto('now-and-then.jpg', 49 * MIB)
    const puts = () => proxy.seen.filter(({ method }) => method === 'PUT').length
    // Four are sent at first. The fifth of seven is begun when the store has taken one: a store that never took any is left at once.
    proxy.set({ failOneIn: 1, times: 1, only: ({ method }) => method === 'PUT' && puts() === 5 })
    const { code, out } = await run(['upload', path, '--json'], { env: environment(origin) })
    expect([code, parseLines(out)[0]?.status]).toEqual([0, 'uploaded'])
    expect([proxy.done(), puts()]).toEqual([1, 7])
    expect(await metric(origin, 'sessions_chunks_total')).toBe(1)
  })

  it('asks a store that is out of reach once, however many files there are', async () => {
    let asked = 0
    await using store = createServer((socket) => {
      asked += 1
      socket.destroy()
    }).listen(0, '127.0.0.1')
    await once(store, 'listening')
    await using origin = await start(`&public_endpoint=http://127.0.0.1:${(store.address() as AddressInfo).port}`)
    const paths = [await bigPhoto('one.jpg'), await bigPhoto('two.jpg')]
    const { code } = await run(['upload', ...paths, '--json', '-j', '1'], { env: environment(origin) })
    expect(code).toBe(0)
    expect(asked).toBe(1)
    expect(await metric(origin, 'sessions_chunks_total')).toBe(10)
  })

  it('goes on where it was killed, with the chunks that are in the store', async () => {
    await using proxy = await startFaultyProxy(ceph.port, 'http')
    await using origin = await start(`&public_endpoint=${proxy.url}`)
    const path = await bigPhoto('killed.jpg')
    const puts = () => proxy.seen.filter(({ method }) => method === 'PUT').length
    // Two at once, and each after those comes when one of them was taken: two are in the store when it is stuck at the next two.
    proxy.set({ hang: true, only: ({ method }) => method === 'PUT' && puts() > 2 })
    const running = begin(['upload', path, '--json', '-j', '2'], { env: environment(origin) })
    await expect.poll(puts).toBe(4)
    running.child.kill('SIGKILL')
    await running.ended
    proxy.set({})
    const { code, out } = await run(['upload', path, '--json'], { env: environment(origin) })
    expect([code, parseLines(out)[0]?.status]).toEqual([0, 'uploaded'])
    expect(puts()).toBe(4 + 3)
    expect(await metric(origin, 'sessions_chunks_total')).toBe(0)
    expect(await metric(origin, 'sessions_created_total')).toBe(1)
  })
})
