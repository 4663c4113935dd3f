import { describe, expect, it } from 'vitest'
import type { DirectChunks } from '../../src/blobs/chunk-store.ts'
import { AppError } from '../../src/core/errors.ts'
import { newUploadId, parseOwnerId } from '../../src/core/ids.ts'
import type { UploadSession } from '../../src/core/upload-session.ts'
import { createParts } from '../../src/ingest/parts.ts'

const MIB = 1024 * 1024

const session = (bytes: number): UploadSession => ({
  id: newUploadId(),
  ownerId: parseOwnerId('camera'),
  protocol: 'chunks',
  state: 'receiving',
  bytes,
  chunkBytes: 8 * MIB,
  mediaType: 'image/jpeg',
  declared: null,
  details: '{}',
  tusMetadata: null,
  createdAt: new Date(),
  expiresAt: new Date(Date.now() + 60_000),
  assetId: null,
  deduplicated: false,
  failure: null,
})

/** Signs, unless what it signs with cannot be had. */
const store = (fails: () => Error | undefined): DirectChunks => ({
  minBytes: 5 * MIB,
  lasts: async (seconds) => {
    const error = fails()
    if (error) throw error
    return seconds
  },
  sign: async (id, { offset }) => ({ url: `http://store/${id}/${offset}`, headers: {} }),
  sent: async () => [],
  assemble: async () => expect.unreachable(),
})

describe('parts for the store', () => {
  it('are offered with a new upload, a page of them', async () => {
    const parts = createParts(store(() => undefined))
    const page = await parts.offer(session(40 * 8 * MIB))
    expect([page?.parts.length, page?.next]).toEqual([32, 32])
    expect(parts.stats).toEqual({ signed: 32, unsigned: 0 })
  })

  it('are not offered where there are none: the store is no S3', async () => {
    expect(await createParts(undefined).offer(session(MIB))).toBeUndefined()
  })

  it('do not fail an upload that could begin without them: nothing can be signed now, so its chunks come through here', async () => {
    const parts = createParts(store(() => new AppError('busy', 'no credentials')))
    const begun = session(MIB)
    expect(await parts.offer(begun)).toBeUndefined()
    expect(parts.stats).toEqual({ signed: 0, unsigned: 1 })
    await expect(parts.sign(begun, 0)).rejects.toMatchObject({ kind: 'busy' })
  })

  it('that fail by a fault of ours are said to', async () => {
    const parts = createParts(store(() => new TypeError('a bug')))
    await expect(parts.offer(session(MIB))).rejects.toThrow('a bug')
  })
})
