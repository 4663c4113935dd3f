/** Uploads, deletes, restores, cleanups and sweeps of the same hashes at once: CONTRACT §7.2 and §7.3, whatever the engines. */
import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { expect } from 'vitest'
import { type Digest, parseDigest } from '../../src/core/ids.ts'
import { countReferences, findOriginal } from '../../src/metadata/originals.ts'
import { asAdmin, picture, type Step, upload, type WritePath } from '../fixtures/write-path.ts'

const never = new AbortController().signal

export interface RaceRig {
  /** Opens what stands for one or more processes, all on the same bytes and rows. */
  readonly open: (
    onStep: (step: Step) => Promise<void>,
  ) => Promise<{ readonly paths: readonly WritePath[] } & AsyncDisposable>
  /** What an upload may answer. With locks that hold, nothing but success; without them it may be told to retry. */
  readonly allowed: readonly number[]
  readonly runs: number
}

export const expectRacesHeld = async ({ open, allowed, runs }: RaceRig): Promise<void> => {
  let holds: readonly number[] = [0]
  let passed = 0
  // Each step of each call is held up for as long as the schedule says: the gaps that a race needs are a millisecond wide.
  await using rig = await open(() => sleep(holds[passed++ % holds.length]))
  const bodies = await Promise.all([1, 2].map((seed) => picture(seed)))
  const digests = bodies.map((body) => parseDigest(createHash('sha256').update(body).digest('hex')))
  const ids: string[] = []
  const anyId = (pick: number) => ids[pick % Math.max(1, ids.length)] ?? 'a_0000000000000000000000'
  const pathOf = (turn: number): WritePath => {
    const path = rig.paths[turn % rig.paths.length]
    if (!path) throw new Error('no path')
    return path
  }
  const call = async (path: WritePath, method: string, url: string): Promise<number> =>
    (await path.app.request(url, { method, headers: asAdmin })).status

  const step = async (path: WritePath, [kind, pick, pause]: readonly [number, number, number]): Promise<void> => {
    await sleep(pause)
    if (kind <= 3) {
      const { status, asset } = await upload(path.app, bodies[pick % 2] ?? Buffer.alloc(0))
      expect(allowed).toContain(status)
      if (status === 201) ids.push(asset.id)
      return
    }
    if (kind <= 6) await call(path, 'DELETE', `/assets/${anyId(pick)}`)
    else if (kind === 7) await call(path, 'POST', `/assets/${anyId(pick)}/restore`)
    else if (kind === 8) await call(path, 'POST', `/internal/assets/${anyId(pick)}/cleanup?force=true`)
    else if (kind === 9) await path.collector.sweep(never)
    else await path.collector.scan(never)
  }

  const steps = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 10 }), fc.nat({ max: 1000 }), fc.integer({ min: 0, max: 4 })),
    { minLength: 6, maxLength: 24 },
  )
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 5, maxLength: 5 }),
      async (schedule, pauses) => {
        // Each round starts with one asset of each hash, already deleted: the next sweep takes the last reference away.
        holds = [0]
        for (const id of ids.splice(0)) await call(pathOf(0), 'DELETE', `/assets/${id}`)
        await pathOf(0).collector.sweep(never)
        await pathOf(0).collector.scan(never)
        for (const body of bodies) {
          const { asset } = await upload(pathOf(0).app, body)
          await call(pathOf(0), 'DELETE', `/assets/${asset.id}`)
          ids.push(asset.id)
        }
        holds = pauses
        passed = 0
        await Promise.all(schedule.map((one, turn) => step(pathOf(turn), one)))
        for (const [at, digest] of digests.entries())
          await expectWhole(pathOf(0), digest, bodies[at], allowed.length === 1)
      },
    ),
    { numRuns: runs },
  )
}

/** `tidy`: neither bytes without a row may be left, which an upload leaves that was refused. */
const expectWhole = async (path: WritePath, digest: Digest, body: Buffer | undefined, tidy: boolean): Promise<void> => {
  const rows = await path.metadata.read.selectFrom('assets').select('deleted_at').where('digest', '=', digest).execute()
  const live = rows.filter((row) => row.deleted_at === null).length
  expect(await countReferences(path.metadata.read, digest)).toBe(live)
  const known = await findOriginal(path.metadata.read, digest)
  if (rows.length > 0) {
    expect(known).toBeDefined()
    const bytes = await buffer(await path.originals.read(digest, undefined, never))
    expect(bytes.equals(body ?? Buffer.alloc(0))).toBe(true)
    return
  }
  expect(known).toBeUndefined()
  if (tidy) expect(await path.originals.size(digest)).toBeUndefined()
}
