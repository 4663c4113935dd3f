/**
 * Originals that nobody has read for long go to a colder class of storage, and come back once they are read again. Once a day a walk over
 * the store's own listing, which says where each lies, holds it against the rows, which say when each was last read; what lies in the
 * wrong place is looked at again under the digest's lock and moved where it is. There is nothing to go on with after a crash: what was
 * moved is in its place.
 */
import type { TieredOriginal, TieredOriginals } from '../blobs/store.ts'
import { assertHeld, type Locker } from '../coordination/coordination.ts'
import type { Metadata } from '../metadata/database.ts'
import { findUses, type OriginalUse } from '../metadata/uses.ts'
import { createPace, type Pace } from './pace.ts'

const PAGE = 500
/** Bounds what a first walk asks of a store in a second: 4 million originals a day, some 20 $ at AWS' price of a copy to STANDARD_IA. */
const MOVES_PER_SECOND = 50
const MOVES_AT_ONCE = 8
/** A store that fails so often in a row is not asked on; the next walk tries again. */
const MAX_FAULTS = 10
/** Infrequent access is billed as 128 KiB at least, and AWS' own transitions leave smaller objects (docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html). */
const MIN_BYTES = 128 * 1024

export interface CoolingPorts {
  readonly metadata: Pick<Metadata, 'read' | 'search'>
  readonly tiers: TieredOriginals
  readonly locker: Locker
  /** Told of an original that could not be moved; the next walk tries again. */
  readonly onFault: (error: unknown) => void
}

export interface CoolingOptions {
  /** Unseen for so long, an original is moved. */
  readonly unseenMs: number
  /** Smaller ones stay. */
  readonly minBytes?: number
  readonly movesPerSecond?: number
}

export interface Cooling {
  /** One walk; answers how many were moved. @throws the signal's reason, and what the store threw last when it fails again and again. */
  run(signal: AbortSignal): Promise<number>
  readonly stats: Readonly<CoolingStats>
}

interface CoolingStats {
  looked: number
  cooled: number
  cooledBytes: number
  warmed: number
  warmedBytes: number
  faults: number
}

type Rule = Required<CoolingOptions>
type Target = 'cold' | 'standard'

export const createCooling = (ports: CoolingPorts, options: CoolingOptions): Cooling => {
  const { metadata, tiers, locker } = ports
  const rule = { minBytes: MIN_BYTES, movesPerSecond: MOVES_PER_SECOND, ...options }
  const stats: CoolingStats = { looked: 0, cooled: 0, cooledBytes: 0, warmed: 0, warmedBytes: 0, faults: 0 }

  /** The row is read again: it may have gone, been read or been found faulty since. Readers are not held up, uploads and removals are. */
  const move = async (original: TieredOriginal, to: Target, signal: AbortSignal): Promise<boolean> => {
    const { digest, bytes } = original
    await using lease = await locker.acquire(`digest:${digest}`, signal)
    const use = (await findUses(metadata.read, [digest])).get(digest)
    if (targetOf(original, use, rule, Date.now()) !== to) return false
    assertHeld(lease)
    if (!(await tiers.move(digest, bytes, to, AbortSignal.any([signal, lease.lost])))) return false
    const [moved, movedBytes] =
      to === 'cold' ? (['cooled', 'cooledBytes'] as const) : (['warmed', 'warmedBytes'] as const)
    stats[moved] += 1
    stats[movedBytes] += bytes
    return true
  }

  const walk = async (pace: Pace, signal: AbortSignal): Promise<number> => {
    let faultsInARow = 0
    let moved = 0
    const moveOrNote = async ({ original, to }: Due): Promise<void> => {
      await pace.spend(1, signal)
      try {
        if (await move(original, to, signal)) moved += 1
        faultsInARow = 0
      } catch (error) {
        signal.throwIfAborted()
        stats.faults += 1
        faultsInARow += 1
        if (faultsInARow >= MAX_FAULTS) throw error
        ports.onFault(error)
      }
    }
    const judge = async (page: readonly TieredOriginal[]): Promise<void> => {
      const uses = await findUses(
        metadata.search,
        page.map(({ digest }) => digest),
      )
      const due = page.flatMap((original): readonly Due[] => {
        const to = targetOf(original, uses.get(original.digest), rule, Date.now())
        return to ? [{ original, to }] : []
      })
      for (let at = 0; at < due.length; at += MOVES_AT_ONCE)
        await allEnded(due.slice(at, at + MOVES_AT_ONCE).map(moveOrNote))
    }
    let page: TieredOriginal[] = []
    for await (const original of tiers.tiers()) {
      signal.throwIfAborted()
      stats.looked += 1
      page.push(original)
      if (page.length < PAGE) continue
      await judge(page)
      page = []
    }
    await judge(page)
    return moved
  }

  return {
    stats,
    run: async (signal) => {
      await using _lease = await locker.acquire('cooling', signal)
      return walk(createPace(rule.movesPerSecond), signal)
    },
  }
}

interface Due {
  readonly original: TieredOriginal
  readonly to: Target
}

/**
 * Where it is to go, or undefined: it stays. Without a row it is on its way in or out; with a fault or of another size a copy would only
 * spread what is wrong.
 */
const targetOf = (
  { tier, bytes }: TieredOriginal,
  use: OriginalUse | undefined,
  { unseenMs, minBytes }: Rule,
  now: number,
): Target | undefined => {
  if (!use || use.fault !== null || use.bytes !== bytes) return undefined
  const isUnseen = use.seenAt.getTime() < now - unseenMs
  if (tier === 'standard' && isUnseen && bytes >= minBytes) return 'cold'
  return tier === 'cold' && !isUnseen ? 'standard' : undefined
}

/** None goes on when it throws. */
const allEnded = async (work: readonly Promise<void>[]): Promise<void> => {
  const failed = (await Promise.allSettled(work)).find((one) => one.status === 'rejected')
  if (failed) throw failed.reason
}
