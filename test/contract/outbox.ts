/** What the outbox must do, whatever keeps its rows. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { JobRoutes } from '../../src/core/asset-event.ts'
import { dropOldEdgeJobs } from '../../src/metadata/edge-purges.ts'
import {
  claimJobs,
  countJobs,
  createOutbox,
  endJobs,
  hasDue,
  listJobs,
  removeJob,
  retryJob,
} from '../../src/metadata/outbox.ts'
import { findProgress, saveProgress } from '../../src/metadata/progress.ts'
import { digestOf, type MetadataRig } from './metadata.ts'

export const ROUTES: JobRoutes = {
  added: ['scan', 'prewarm'],
  updated: [],
  hidden: ['purge-edge'],
  shown: [],
  purged: [],
}

export const outboxContract = (name: string, open: () => Promise<MetadataRig>) =>
  describe(`outbox contract: ${name}`, () => {
    const outbox = createOutbox(ROUTES)
    const append = (rig: MetadataRig, count: number) =>
      rig.one.transaction((t) =>
        outbox.append(
          t,
          Array.from({ length: count }, (_, i) => ({ kind: 'added' as const, digest: digestOf(i) })),
        ),
      )

    it('keeps the jobs that an event asks for with the transaction, and none without it', async () => {
      await using rig = await open()
      const broken = rig.one.transaction(async (t) => {
        await outbox.append(t, [{ kind: 'added', digest: digestOf(1) }])
        throw new Error('no')
      })
      await expect(broken).rejects.toThrow('no')
      expect(await hasDue(rig.two.read, 'scan', new Date())).toBe(false)
      await rig.one.transaction((t) =>
        outbox.append(t, [
          { kind: 'added', digest: digestOf(1) },
          { kind: 'updated', digest: digestOf(2) },
          { kind: 'hidden', digest: digestOf(3) },
        ]),
      )
      const jobs = await listJobs(rig.two.search, { after: 0, limit: 10 })
      expect(jobs.map(({ kind, digest, state, attempts }) => [kind, digest, state, attempts])).toEqual([
        ['scan', digestOf(1), 'pending', 0],
        ['prewarm', digestOf(1), 'pending', 0],
        ['purge-edge', digestOf(3), 'pending', 0],
      ])
    })

    it('gives a job to one of many workers', async () => {
      await using rig = await open()
      await append(rig, 40)
      const claims = await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          claimJobs(i % 2 ? rig.one : rig.two, { kind: 'scan', limit: 5, leaseMs: 60_000 }),
        ),
      )
      const ids = claims.flat().map(({ id }) => id)
      expect(new Set(ids).size).toBe(ids.length)
      const rest = await claimJobs(rig.one, { kind: 'scan', limit: 100, leaseMs: 60_000 })
      expect(ids.length + rest.length).toBe(40)
      expect((await countJobs(rig.two.search)).scan).toMatchObject({ pending: 0, running: 40, parked: 0 })
    })

    it('gives a job again whose lease has run out, and lets the first worker end it no more', async () => {
      await using rig = await open()
      await append(rig, 1)
      const [first] = await claimJobs(rig.one, { kind: 'scan', limit: 1, leaseMs: 5 })
      await sleep(10)
      const [second] = await claimJobs(rig.two, { kind: 'scan', limit: 1, leaseMs: 60_000 })
      expect(second).toMatchObject({ id: first?.id, attempts: 2 })
      if (!first || !second) throw new Error('no job')
      await rig.one.transaction((t) => endJobs(t, [{ job: first, end: { kind: 'done' } }]))
      expect(await listJobs(rig.one.search, { kind: 'scan', state: 'running', after: 0, limit: 5 })).toHaveLength(1)
      await rig.two.transaction((t) => endJobs(t, [{ job: second, end: { kind: 'done' } }]))
      expect(await listJobs(rig.one.search, { kind: 'scan', after: 0, limit: 5 })).toEqual([])
    })

    it('tries later, parks, tries again when told, releases and removes', async () => {
      await using rig = await open()
      await append(rig, 1)
      const claim = async () => (await claimJobs(rig.one, { kind: 'scan', limit: 9, leaseMs: 60_000 }))[0]
      const end = async (park: boolean, dueAt: Date) => {
        const job = await claim()
        if (!job) throw new Error('nothing is due')
        await rig.one.transaction((t) =>
          endJobs(t, [{ job, end: { kind: 'failed', error: 'x'.repeat(1000), park, dueAt } }]),
        )
        return job.id
      }
      await end(false, new Date())
      const id = await end(false, new Date(Date.now() + 60_000))
      expect(await claim()).toBeUndefined()
      expect(await rig.two.transaction((t) => retryJob(t, id))).toBe(true)
      await end(true, new Date())
      expect(await claim()).toBeUndefined()
      const [parked] = await listJobs(rig.two.search, { state: 'parked', after: 0, limit: 5 })
      expect(parked).toMatchObject({ id, attempts: 1, error: 'x'.repeat(500) })
      expect((await countJobs(rig.two.search)).scan).toEqual({ pending: 0, running: 0, parked: 1, oldestSeconds: 0 })
      await rig.two.transaction((t) => retryJob(t, id))
      const job = await claim()
      if (!job) throw new Error('nothing is due')
      await rig.one.transaction((t) => endJobs(t, [{ job, end: { kind: 'release' } }]))
      expect(await claim()).toMatchObject({ id, attempts: 1 })
      expect(await rig.two.transaction((t) => removeJob(t, id))).toBe(true)
      expect(await rig.two.transaction((t) => removeJob(t, id))).toBe(false)
      expect(await rig.two.transaction((t) => retryJob(t, id))).toBe(false)
    })

    it('drops the parked purge of an edge that has nothing left to forget, and no other', async () => {
      await using rig = await open()
      await rig.one.transaction((t) =>
        outbox.append(t, [
          { kind: 'added', digest: digestOf(1) },
          { kind: 'hidden', digest: digestOf(2) },
          { kind: 'hidden', digest: digestOf(3) },
        ]),
      )
      const days = (n: number) => new Date(Date.now() + n * 86_400_000)
      await rig.one.transaction((t) =>
        t.updateTable('outbox').set({ parked: 1 }).where('digest', '!=', digestOf(3)).execute(),
      )
      expect(await rig.one.transaction((t) => dropOldEdgeJobs(t, days(31)))).toBe(0)
      expect(await rig.one.transaction((t) => dropOldEdgeJobs(t, days(33)))).toBe(1)
      const left = await listJobs(rig.two.search, { after: 0, limit: 10 })
      expect(left.map(({ kind, digest }) => [kind, digest])).toEqual([
        ['scan', digestOf(1)],
        ['prewarm', digestOf(1)],
        ['purge-edge', digestOf(3)],
      ])
    })

    it('keeps where a walk stands', async () => {
      await using rig = await open()
      expect(await findProgress(rig.two.search, 'walk')).toBeUndefined()
      for (const position of ['a', 'b'])
        await rig.one.transaction((t) => saveProgress(t, 'walk', { position, report: { n: 1 }, at: new Date(5) }))
      expect(await findProgress(rig.two.search, 'walk')).toEqual({ position: 'b', report: { n: 1 }, at: new Date(5) })
    })
  })
