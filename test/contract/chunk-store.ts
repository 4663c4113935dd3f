/** What every ChunkStore must do, whatever it is made of. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import type { ChunkStore } from '../../src/blobs/chunk-store.ts'
import type { OriginalStore } from '../../src/blobs/store.ts'
import { newUploadId, parseDigest, type UploadId } from '../../src/core/ids.ts'
import type { Piece } from '../../src/core/upload-session.ts'

const never = new AbortController().signal
const digestOf = (bytes: Uint8Array) => parseDigest(createHash('sha256').update(bytes).digest('hex'))
const sample = (size: number) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255))

async function* inChunks(bytes: Uint8Array, size = 60_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const idsIn = async (chunks: ChunkStore): Promise<UploadId[]> => {
  const ids: UploadId[] = []
  for await (const { id } of chunks.list()) ids.push(id)
  return ids
}

const write = async (chunks: ChunkStore, id: UploadId, file: Buffer, offset: number, bytes: number): Promise<Piece> => {
  const part = file.subarray(offset, offset + bytes)
  const place = { offset, maxBytes: bytes, totalBytes: file.length }
  return { offset, ...(await chunks.write(id, place, inChunks(part), never)) }
}

export type OpenChunks = () => Promise<
  { readonly chunks: ChunkStore; readonly originals: OriginalStore } & AsyncDisposable
>

export const chunkStoreContract = (name: string, open: OpenChunks) =>
  describe(`ChunkStore contract: ${name}`, () => {
    it('makes of pieces in any order one original, and can do so again until they are removed', async () => {
      await using opened = await open()
      const { chunks, originals } = opened
      const file = sample(6_300_000)
      const id = newUploadId()
      const size = 1_000_000
      const places = [3, 0, 6, 1, 5, 2, 4].map(
        (index) => [index * size, Math.min(size, file.length - index * size)] as const,
      )
      const written = await Promise.all(places.map(([offset, bytes]) => write(chunks, id, file, offset, bytes)))
      for (const { offset, bytes, digest } of written)
        expect(digest).toBe(digestOf(file.subarray(offset, offset + bytes)))
      const pieces = written.toSorted((a, b) => a.offset - b.offset)
      for (let time = 0; time < 3; time++) {
        await using staged = await chunks.assemble(id, pieces, never)
        expect({ digest: staged.digest, bytes: staged.bytes }).toEqual({ digest: digestOf(file), bytes: file.length })
        expect((await readFile(await staged.file())).equals(file)).toBe(true)
        if (time > 0) await staged.publish()
      }
      await chunks.remove(id)
      await chunks.remove(id)
      expect(await idsIn(chunks)).toEqual([])
      expect((await buffer(await originals.read(digestOf(file), undefined, never))).equals(file)).toBe(true)
      await expect(chunks.assemble(id, pieces, never)).rejects.toMatchObject({ kind: 'internal' })
    })

    it('takes a piece again, after one of the same place failed', async () => {
      await using opened = await open()
      const { chunks } = opened
      const file = sample(200_000)
      const id = newUploadId()
      const place = { offset: 0, maxBytes: 100_000, totalBytes: file.length }
      const wrong = Buffer.alloc(100_001, 7)
      await expect(chunks.write(id, place, inChunks(wrong), never)).rejects.toMatchObject({ kind: 'too-large' })
      const broken = (async function* () {
        yield wrong.subarray(0, 50_000)
        throw new Error('the line is cut')
      })()
      await expect(chunks.write(id, place, broken, never)).rejects.toThrow('the line is cut')
      const pieces = [await write(chunks, id, file, 0, 100_000), await write(chunks, id, file, 100_000, 100_000)]
      await using staged = await chunks.assemble(id, pieces, never)
      expect(staged.digest).toBe(digestOf(file))
    })

    it('ends with the signal while a source hangs', async () => {
      await using opened = await open()
      const stop = new AbortController()
      const hanging = (async function* () {
        yield Buffer.alloc(10)
        await new Promise(() => undefined)
      })()
      const place = { offset: 0, maxBytes: 100, totalBytes: 100 }
      const writing = opened.chunks.write(newUploadId(), place, hanging, stop.signal)
      stop.abort(new Error('enough'))
      await expect(writing).rejects.toThrow('enough')
    })

    it('lists who has bytes, and keeps sessions apart', async () => {
      await using opened = await open()
      const { chunks } = opened
      const [one, two] = [newUploadId(), newUploadId()]
      const file = sample(3_000)
      for (const id of [one, two]) for (const at of [0, 1_000, 2_000]) await write(chunks, id, file, at, 1_000)
      expect((await idsIn(chunks)).sort()).toEqual([one, two].sort())
      await chunks.remove(one)
      expect(await idsIn(chunks)).toEqual([two])
    })
  })
