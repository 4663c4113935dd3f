/** What the rows of resumable uploads must do on every database. */
import { describe, expect, it } from 'vitest'
import { newUploadId, parseDigest, parseOwnerId, type UploadId } from '../../src/core/ids.ts'
import type { UploadSession } from '../../src/core/upload-session.ts'
import { createPieceRows } from '../../src/ingest/piece-rows.ts'
import type { Metadata } from '../../src/metadata/database.ts'
import { listPieces, measurePieces } from '../../src/metadata/upload-pieces.ts'
import {
  claimSession,
  countOpenSessions,
  dropEndedSessions,
  findClaim,
  findExpiredSessions,
  findSession,
  insertSession,
  setSessionOutcome,
  withoutOpenSession,
} from '../../src/metadata/upload-sessions.ts'

const DAY_MS = 86_400_000
const owner = parseOwnerId('ann')
const digest = (seed: number) => parseDigest(seed.toString(16).padStart(64, '0'))

const session = (change: Partial<UploadSession> = {}): UploadSession => ({
  id: newUploadId(),
  ownerId: owner,
  protocol: 'chunks',
  state: 'receiving',
  bytes: 50 * 1024 ** 3,
  chunkBytes: 10,
  mediaType: 'image/png',
  declared: digest(1),
  details: '{"title":"a"}',
  tusMetadata: null,
  createdAt: new Date(Date.now() - 1000),
  expiresAt: new Date(Date.now() + DAY_MS),
  assetId: null,
  deduplicated: false,
  failure: null,
  ...change,
})

export interface RowsRig extends AsyncDisposable {
  /** Two processes' view of one database, where the engine has that. */
  readonly one: Metadata
  readonly two: Metadata
}

export const uploadRowsContract = (name: string, open: () => Promise<RowsRig>) =>
  describe(`rows of resumable uploads: ${name}`, () => {
    const add = async (metadata: Metadata, ...sessions: UploadSession[]): Promise<void> => {
      for (const one of sessions) await metadata.transaction((transaction) => insertSession(transaction, one))
    }
    const settle = (metadata: Metadata, id: UploadId, outcome: Parameters<typeof setSessionOutcome>[2]) =>
      metadata.transaction((transaction) => setSessionOutcome(transaction, id, outcome))

    it('gives back what was kept, and how it ended', async () => {
      await using rig = await open()
      const kept = session()
      await add(rig.one, kept)
      expect(await findSession(rig.two.read, kept.id)).toEqual(kept)
      await settle(rig.one, kept.id, { state: 'failed', failure: { kind: 'undecodable', message: 'no' } })
      expect(await findSession(rig.two.read, kept.id)).toMatchObject({ state: 'failed', failure: { message: 'no' } })
      await rig.one.transaction((transaction) => claimSession(transaction, kept.id, 'x'))
      expect(await findClaim(rig.two.read, kept.id)).toBe('x')
    })

    it('counts what is open, finds what has expired, and forgets what has ended', async () => {
      await using rig = await open()
      const past = new Date(Date.now() - 1000)
      const [live, late, done] = [session(), session({ expiresAt: past }), session({ state: 'done', expiresAt: past })]
      await add(rig.one, live, late, done)
      expect(await countOpenSessions(rig.one.read, owner, new Date())).toBe(1)
      expect((await findExpiredSessions(rig.one.search, new Date(), 10)).map(({ id }) => id)).toEqual([late.id])
      const unknown = newUploadId()
      const all = [live.id, late.id, done.id, unknown]
      expect(await withoutOpenSession(rig.one.search, all)).toEqual([done.id, unknown])
      expect(await rig.one.transaction((transaction) => dropEndedSessions(transaction, new Date()))).toBe(1)
      expect(await findSession(rig.one.read, done.id)).toBeUndefined()
    })

    it('keeps one piece for a place, however many processes acknowledge it at once', async () => {
      await using rig = await open()
      const kept = session()
      await add(rig.one, kept)
      const [one, two] = [createPieceRows(rig.one), createPieceRows(rig.two)]
      const outcomes = await Promise.allSettled(
        Array.from({ length: 40 }, async (_, index) => {
          const piece = { offset: (index % 10) * 10, bytes: 10, digest: digest(index % 20) }
          return (index % 2 === 0 ? one : two).add(kept, piece)
        }),
      )
      expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBe(20)
      expect(await listPieces(rig.one.read, kept.id)).toHaveLength(10)
      expect(await measurePieces(rig.two.read, kept.id)).toEqual({ bytes: 100, pieces: 10 })
    })

    it('appends at the end and nowhere else, and to no session that has ended', async () => {
      await using rig = await open()
      const kept = session({ protocol: 'tus' })
      await add(rig.one, kept)
      const [one, two] = [createPieceRows(rig.one), createPieceRows(rig.two)]
      const piece = (offset: number, bytes = 7) => ({ offset, bytes, digest: digest(offset) })
      const race = await Promise.allSettled([one.append(kept, piece(0)), two.append(kept, piece(0, 5))])
      expect(race.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      await expect(one.append(kept, piece(3))).rejects.toMatchObject({ kind: 'conflict' })
      await settle(rig.two, kept.id, { state: 'aborted' })
      await expect(one.append(kept, piece(7))).rejects.toMatchObject({ kind: 'gone' })
      await expect(two.add(kept, piece(70))).rejects.toMatchObject({ kind: 'gone' })
    })
  })
