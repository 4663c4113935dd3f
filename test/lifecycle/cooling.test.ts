/** Which originals go to the colder class and back, over SQLite and a store in memory; and how their uses are noted. */
import { Readable } from 'node:stream'
import { describe, expect, it, vi } from 'vitest'
import type { TieredOriginals } from '../../src/blobs/store.ts'
import { createInProcessLocker, createInProcessNotices } from '../../src/coordination/in-process.ts'
import type { Digest } from '../../src/core/ids.ts'
import { createCollector } from '../../src/lifecycle/collect.ts'
import { createCooling } from '../../src/lifecycle/cooling.ts'
import { createPurging } from '../../src/lifecycle/purge.ts'
import { createUses } from '../../src/lifecycle/uses.ts'
import { setFault } from '../../src/metadata/condition.ts'
import { NO_OUTBOX } from '../../src/metadata/outbox.ts'
import { asset, digestOf, store } from '../contract/metadata.ts'
import { createMemoryOriginals, createMemoryTiers, createMemoryVariants } from '../fixtures/memory-blobs.ts'
import { openMemoryMetadata } from '../fixtures/memory-metadata.ts'

const never = new AbortController().signal
const DAY_MS = 24 * 60 * 60 * 1000
const BYTES = 200_000

const openCooling = (wrap: (tiers: TieredOriginals) => TieredOriginals = (tiers) => tiers) => {
  const metadata = openMemoryMetadata()
  const originals = createMemoryOriginals()
  const tiers = createMemoryTiers(originals)
  const faults: unknown[] = []
  const locker = createInProcessLocker()
  const ports = { metadata, tiers: wrap(tiers), locker, onFault: (error: unknown) => faults.push(error) }
  const cooling = createCooling(ports, { unseenMs: 30 * DAY_MS })
  const uses = createUses(metadata)
  /** With a row, which came and was read so many days ago. */
  const add = async (n: number, ageDays: number, usedDays?: number, bytes = BYTES): Promise<Digest> => {
    const digest = digestOf(n)
    originals.stored.set(digest, { bytes: Buffer.alloc(bytes), storedAt: new Date() })
    await metadata.transaction((t) => store(t, asset(digest, { bytes })))
    const [created, used] = [ageDays, usedDays].map((days) => (days === undefined ? null : Date.now() - days * DAY_MS))
    await metadata.transaction((t) =>
      t
        .updateTable('originals')
        .set({ bytes, used_at: used ?? null })
        .where('digest', '=', digest)
        .execute(),
    )
    metadata.rows(`update originals set created_at = ${created} where digest = '${digest}' returning 1`)
    return digest
  }
  return {
    metadata,
    originals,
    tiers,
    cooling,
    uses,
    locker,
    faults,
    add,
    [Symbol.asyncDispose]: () => metadata[Symbol.asyncDispose](),
  }
}

describe('the cooling', () => {
  it('moves what nobody has read for long, and back what was read again', async () => {
    await using world = openCooling()
    const { cooling, tiers, add } = world
    const unseen = await add(1, 40)
    await add(2, 40, 5)
    await add(3, 10)
    const again = await add(4, 90, 2)
    tiers.cold.add(again)
    const still = await add(5, 90, 60)
    tiers.cold.add(still)
    expect(await cooling.run(never)).toBe(2)
    expect(tiers.cold).toEqual(new Set([unseen, still]))
    expect(cooling.stats).toEqual({
      looked: 5,
      cooled: 1,
      cooledBytes: BYTES,
      warmed: 1,
      warmedBytes: BYTES,
      faults: 0,
    })
    expect(await cooling.run(never)).toBe(0)
  })

  it('leaves what is small, faulty, of another size, without a row, or in a class of somebody else', async () => {
    await using world = openCooling((tiers) => ({
      ...tiers,
      tiers: async function* () {
        for await (const one of tiers.tiers())
          yield one.digest === digestOf(5) ? { ...one, tier: 'other' as const } : one
      },
    }))
    const { cooling, tiers, originals, metadata, add } = world
    await add(1, 40, undefined, 128 * 1024 - 1)
    const faulty = await add(2, 40)
    await metadata.transaction((t) => setFault(t, faulty, 'damaged'))
    originals.stored.set(await add(3, 40), { bytes: Buffer.alloc(BYTES + 1), storedAt: new Date() })
    originals.stored.set(digestOf(4), { bytes: Buffer.alloc(BYTES), storedAt: new Date(0) })
    await add(5, 40)
    expect(await cooling.run(never)).toBe(0)
    expect([tiers.cold.size, cooling.stats.looked]).toEqual([0, 5])
  })

  it('looks again under the lock: what was read or removed since stays', async () => {
    await using world = openCooling()
    const { cooling, tiers, locker, metadata, add } = world
    const [read, removed] = [await add(1, 40), await add(2, 40)]
    const held = [await locker.acquire(`digest:${read}`, never), await locker.acquire(`digest:${removed}`, never)]
    const running = cooling.run(never)
    await vi.waitFor(() => expect(cooling.stats.looked).toBe(2))
    await new Promise(setImmediate)
    metadata.rows(`update originals set used_at = ${Date.now()} where digest = '${read}' returning 1`)
    metadata.rows(`delete from assets where digest = '${removed}' returning 1`)
    metadata.rows(`delete from originals where digest = '${removed}' returning 1`)
    for (const lease of held) await lease[Symbol.asyncDispose]()
    expect(await running).toBe(0)
    expect(tiers.cold.size).toBe(0)
  })

  it('goes on after a fault, and ends when the store fails again and again', async () => {
    let broken = new Set<Digest>([digestOf(1), digestOf(7)])
    await using world = openCooling((tiers) => ({
      ...tiers,
      move: async (digest, ...rest) => {
        if (broken.has(digest)) throw new Error('no')
        return tiers.move(digest, ...rest)
      },
    }))
    const { cooling, faults, add } = world
    const all = []
    for (let n = 1; n <= 30; n++) all.push(await add(n, 40))
    broken = new Set(all.slice(0, 2))
    expect(await cooling.run(never)).toBe(28)
    expect([cooling.stats.faults, faults.length]).toEqual([2, 2])
    for (let n = 31; n <= 60; n++) broken.add(await add(n, 40))
    await expect(cooling.run(never)).rejects.toThrow('no')
    expect(cooling.stats.faults).toBeLessThan(2 + 2 + 16)
  })

  it('ends with its process', async () => {
    await using world = openCooling()
    await world.add(1, 40)
    await expect(world.cooling.run(AbortSignal.abort(new Error('the process ends')))).rejects.toThrow(
      'the process ends',
    )
  })
})

describe('a store that writes a copy after the original was removed', () => {
  it('leaves an orphan, which the next scan sets aside, and no row', async () => {
    await using metadata = openMemoryMetadata()
    const originals = createMemoryOriginals()
    const writes: (() => void)[] = []
    const tiers = createMemoryTiers(originals, async (write) => {
      writes.push(write)
      throw new Error('no answer in time')
    })
    const ports = { metadata, originals, locker: createInProcessLocker(), onFault: () => undefined }
    const digest = digestOf(1)
    originals.stored.set(digest, { bytes: Buffer.alloc(BYTES), storedAt: new Date() })
    await metadata.transaction((t) => store(t, asset(digest, { bytes: BYTES })))
    metadata.rows(`update originals set bytes = ${BYTES}, created_at = 0 returning 1`)
    expect(await createCooling({ ...ports, tiers }, { unseenMs: DAY_MS }).run(never)).toBe(0)
    metadata.rows('delete from assets returning 1')
    metadata.rows('delete from originals returning 1')
    const base = { ...ports, variants: createMemoryVariants(), notices: createInProcessNotices(), outbox: NO_OUTBOX }
    const purging = createPurging(base)
    expect(await purging.removeOrphan(digest, never)).toBe(true)
    for (const write of writes) write()
    expect(originals.stored.has(digest)).toBe(true)
    const collector = createCollector(
      { ...ports, purging },
      { graceMs: -1, quarantineMs: DAY_MS, sweepIntervalMs: 1e9, scanIntervalMs: 1e9 },
    )
    await collector.scan(never)
    expect(collector.stats).toMatchObject({ setAside: 1 })
    expect(metadata.rows('select digest from originals')).toEqual([])
  })
})

describe('the noting of uses', () => {
  it('notes every read of the store that it wraps, once a day, and writes them together', async () => {
    await using world = openCooling()
    const { uses, metadata, originals, add } = world
    const [opened, read, unread] = [await add(1, 40), await add(2, 40), await add(3, 40)]
    const noting = uses.noting({ ...originals, read: async () => Readable.from([]) })
    for (let i = 0; i < 3; i++) {
      await (await noting.open(opened, never))[Symbol.asyncDispose]()
      await noting.read(read, undefined, never)
    }
    expect(uses.stats).toEqual({ noted: 2, dropped: 0, waiting: 2 })
    expect(await uses.flush(never)).toBe(2)
    expect(uses.stats.waiting).toBe(0)
    await noting.read(read, undefined, never)
    expect(await uses.flush(never)).toBe(0)
    const used = metadata.rows<{ digest: Digest }>('select digest from originals where used_at is not null')
    expect(new Set(used.map(({ digest }) => digest))).toEqual(new Set([opened, read]))
    expect(used.some(({ digest }) => digest === unread)).toBe(false)
  })

  it('keeps what could not be written for the next time', async () => {
    await using world = openCooling()
    const { metadata, add } = world
    let down = true
    const uses = createUses({
      transaction: (work) => (down ? Promise.reject(new Error('away')) : metadata.transaction(work)),
    })
    await uses
      .noting({ ...world.originals, read: async () => Readable.from([]) })
      .read(await add(1, 40), undefined, never)
    await expect(uses.flush(never)).rejects.toThrow('away')
    down = false
    expect(await uses.flush(never)).toBe(1)
  })

  it('is bounded: past it a use is dropped, and counted', async () => {
    const uses = createUses({ transaction: () => Promise.reject(new Error('away')) })
    const noting = uses.noting({ ...createMemoryOriginals(), read: async () => Readable.from([]) })
    for (let n = 0; n < 50_010; n++) await noting.read(digestOf(n), undefined, never)
    expect(uses.stats).toEqual({ noted: 50_000, dropped: 10, waiting: 50_000 })
  })
})
