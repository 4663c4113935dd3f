/** Resumable uploads to real processes, which are killed. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { comeBack } from './come-back.ts'
import { type AssetJson, json, type Origin, startOrigin } from './origin.ts'

const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** The photo, different for each seed, with so many bytes behind it: decoders pass over them. */
const fileOf = (bytes: number, seed: number): Buffer<ArrayBuffer> => {
  const file = Buffer.alloc(Math.max(bytes, photo.length + 8))
  photo.copy(file)
  for (let at = photo.length; at < file.length; at += 4096)
    file.writeUInt32LE((seed * 2654435761 + at) >>> 0, Math.min(at, file.length - 4))
  return file
}

interface Begun {
  readonly upload_session_id: string
  readonly chunk_size: number
  readonly chunk_count: number
}

interface Session {
  readonly state: string
  readonly received_chunks: readonly number[]
  readonly missing_chunks: readonly number[]
  readonly asset_id: string | null
}

const begin = async (origin: Pick<Origin, 'api'>, file: Uint8Array, chunkBytes: number): Promise<Begun> => {
  const wanted = {
    file_name: 'a.jpg',
    file_size: file.length,
    mime_type: 'image/jpeg',
    chunk_size: chunkBytes,
    sha256: sha256(file),
  }
  const headers = { 'Content-Type': 'application/json' }
  const answer = await origin.api('/uploads', { method: 'POST', headers, body: JSON.stringify(wanted) })
  expect(answer.status).toBe(201)
  return json<Begun>(answer)
}

const putChunk = (origin: Pick<Origin, 'api'>, begun: Begun, file: Buffer<ArrayBuffer>, index: number) => {
  const body = file.subarray(index * begun.chunk_size, (index + 1) * begun.chunk_size)
  return origin.api(`/uploads/${begun.upload_session_id}/chunks/${index}`, { method: 'PUT', body })
}

const find = async (origin: Pick<Origin, 'api'>, { upload_session_id: id }: Begun) =>
  json<Session>(await origin.api(`/uploads/${id}`))

const range = (count: number) => Array.from({ length: count }, (_, index) => index)
const shuffled = (count: number) =>
  range(count)
    .map((index) => [Math.random(), index] as const)
    .sort(([a], [b]) => a - b)
    .map(([, index]) => index)

const leftFiles = async (data: string) => [
  ...(await readdir(join(data, 'sessions'))),
  ...(await readdir(join(data, 'staging'))),
]

const ENV = { ORIEL_ANALYTICS: 'off' }

describe('resumable uploads', () => {
  it('are taken by 200 sessions of 16 chunks at once, without an error', async () => {
    await using origin = await startOrigin({ env: ENV })
    const files = range(200).map((seed) => fileOf(16 * 64 * 1024, seed))
    const hashes = await Promise.all(
      files.map(async (file) => {
        const begun = await begin(origin, file, 64 * 1024)
        const answers = await Promise.all(
          shuffled(begun.chunk_count).map((index) => putUntilTaken(origin, begun, file, index)),
        )
        expect(new Set(answers)).toEqual(new Set([204]))
        return (await complete(origin, begun)).hash
      }),
    )
    expect(hashes).toEqual(files.map((file) => sha256(file)))
    expect(await leftFiles(origin.data)).toEqual([])
    const metrics = await (await fetch(`${origin.url}/metrics`)).text()
    expect(metrics).toContain('\noriel_sessions_completed_total 200\n')
    expect(metrics).toContain('\noriel_sessions_bytes_in_flight 0\n')
  }, 300_000)

  it('survive kill -9 at random moments, of chunks and of completion: nothing acknowledged is lost', async () => {
    const file = fileOf(40 * 256 * 1024 + 77, 1)
    let origin = await startOrigin({ env: ENV })
    const { data } = origin
    const begun = await begin(origin, file, 256 * 1024)
    const acknowledged = new Set<number>()
    let made: AssetJson | undefined
    let kills = 0
    for (let round = 0; !made; round++) {
      expect(round).toBeLessThan(60)
      const running = origin
      const session = await find(running, begun)
      expect(session.received_chunks).toEqual(expect.arrayContaining([...acknowledged]))
      const killing = sleep(round < 8 ? 20 + Math.random() * 150 : 60_000, undefined, { ref: false }).then(async () => {
        if (made) return
        kills += 1
        await running.stop('SIGKILL')
      })
      try {
        const missing = shuffled(begun.chunk_count).filter((index) => session.missing_chunks.includes(index))
        for (let at = 0; at < missing.length; at += 4)
          await Promise.all(
            missing.slice(at, at + 4).map(async (index) => {
              if ((await putChunk(running, begun, file, index)).status === 204) acknowledged.add(index)
              // The first is killed in the middle, however fast it is.
              if (round === 0 && acknowledged.size >= begun.chunk_count / 2) await killing
            }),
          )
        made = await complete(running, begun)
      } catch {
        await killing
        origin = await startOrigin({ data, env: ENV })
      }
    }
    expect(kills).toBeGreaterThan(0)
    expect(made.hash).toBe(sha256(file))
    expect(sha256(new Uint8Array(await (await fetch(`${origin.url}/i/${made.hash}/original`)).arrayBuffer()))).toBe(
      made.hash,
    )
    const listed = await json<{ items?: AssetJson[]; assets?: AssetJson[] }>(await origin.api('/assets'))
    expect((listed.items ?? listed.assets ?? []).map(({ id }) => id)).toEqual([made.id])
    expect(await leftFiles(data)).toEqual([])
    await origin[Symbol.asyncDispose]()
  }, 300_000)

  it('survive kill -9 in the middle of completion, again and again', async () => {
    const files = range(6).map((seed) => fileOf(12 * 1024 * 1024, seed + 100))
    let origin = await startOrigin({ env: ENV })
    const { data } = origin
    for (const file of files) {
      const begun = await begin(origin, file, 4 * 1024 * 1024)
      for (const index of range(begun.chunk_count))
        expect((await putChunk(origin, begun, file, index)).status).toBe(204)
      const dying = origin
        .api(`/uploads/${begun.upload_session_id}/complete`, { method: 'POST' })
        .catch(() => undefined)
      await sleep(Math.random() * 80)
      await origin.stop('SIGKILL')
      await dying
      origin = await startOrigin({ data, env: ENV })
      const { id, hash } = await complete(origin, begun)
      expect(hash).toBe(sha256(file))
      expect(await find(origin, begun)).toMatchObject({ state: 'done', asset_id: id })
    }
    const listed = await json<{ items?: AssetJson[]; assets?: AssetJson[] }>(await origin.api('/assets'))
    expect(listed.items ?? listed.assets).toHaveLength(files.length)
    expect(await leftFiles(data)).toEqual([])
    await origin[Symbol.asyncDispose]()
  }, 300_000)
})

/** 202 means that the asset is being made, which takes longer than an answer on a machine with much to do. */
const complete = async (origin: Origin, begun: Begun): Promise<AssetJson> => {
  const answer = await comeBack(
    () => origin.api(`/uploads/${begun.upload_session_id}/complete`, { method: 'POST' }),
    202,
  )
  expect([200, 201]).toContain(answer.status)
  return json<AssetJson>(answer)
}

const putUntilTaken = async (origin: Origin, begun: Begun, file: Buffer<ArrayBuffer>, index: number): Promise<number> =>
  (await comeBack(() => putChunk(origin, begun, file, index), 429, 503)).status
