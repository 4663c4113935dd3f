/**
 * The bytes of one variant: from the nearest tier that has it, else rendered, once however many ask at that moment
 * (CONTRACT §7.5). The look-up is part of the flight, so that a request which missed a moment before the render ended
 * finds its result instead of starting another.
 */
import { LRUCache } from 'lru-cache'
import type { OriginalStore } from '../blobs/store.ts'
import type { DeliverySubject } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import type { CacheTier } from '../core/event.ts'
import type { VariantKey } from '../core/ids.ts'
import type { RenderPlan } from '../core/render-plan.ts'
import { NO_RENDER, type RenderTiming, type Variant } from '../core/variant.ts'
import type { Renderer } from '../imaging/renderer-port.ts'
import type { RenderOnce } from './render-once.ts'
import { createSingleFlight } from './singleflight.ts'
import { assertSound } from './sound.ts'
import type { Kept, VariantTiers } from './tiers.ts'

export interface Obtained {
  readonly variant: Variant
  readonly tier: Extract<CacheTier, 'memory' | 'disk' | 'render'>
  readonly timing: RenderTiming
  /** What will answer the next request for it. */
  readonly kept: Kept
  /** Another request's flight answered this one. */
  readonly collapsed: boolean
}

export interface Wanted {
  readonly subject: DeliverySubject
  readonly key: VariantKey
  readonly plan: RenderPlan
  /** Called before a render is begun, and only then; throws to refuse it. */
  readonly admit: () => void
}

export interface ObtainPorts {
  readonly tiers: Pick<VariantTiers, 'peek' | 'find' | 'put' | 'keeps'>
  readonly originals: Pick<OriginalStore, 'open'>
  readonly renderer: Renderer
  readonly once: RenderOnce
}

/** A picture that cannot be decoded is not tried again for a minute: a hostile file costs one render a minute and size. */
const REFUSAL_TTL_MS = 60_000
const MAX_REFUSALS = 10_000

/** @returns a function that throws AppError `undecodable`, `busy` or `bad-request` as `Renderer.render` does. */
export const createObtain = ({ tiers, originals, renderer, once }: ObtainPorts) => {
  const flights = createSingleFlight<VariantKey, Omit<Obtained, 'collapsed'>>()
  const refusals = new LRUCache<VariantKey, AppError>({ max: MAX_REFUSALS, ttl: REFUSAL_TTL_MS })

  const render = async (wanted: Wanted, signal: AbortSignal): Promise<Omit<Obtained, 'collapsed'>> => {
    const { subject, key, plan } = wanted
    wanted.admit()
    assertSound(subject)
    await using file = await originals.open(subject.digest, signal)
    try {
      const job = { path: file.path, bytes: subject.bytes, facts: subject.facts, plan }
      const { bytes, facts, timing } = await renderer.render(job, signal)
      tiers.put(key, { bytes, facts })
      return { variant: { bytes, facts }, tier: 'render', timing, kept: tiers.keeps(key) }
    } catch (error) {
      if (error instanceof AppError && error.kind === 'undecodable') refusals.set(key, error)
      throw error
    }
  }

  return async (wanted: Wanted, signal: AbortSignal): Promise<Obtained> => {
    const near = tiers.peek(wanted.key)
    if (near)
      return { variant: near, tier: 'memory', timing: NO_RENDER, kept: tiers.keeps(wanted.key), collapsed: false }
    const refused = refusals.get(wanted.key)
    if (refused) throw refused
    const look = async (): Promise<Omit<Obtained, 'collapsed'> | undefined> => {
      const found = await tiers.find(wanted.key)
      return found && { ...found, timing: NO_RENDER, kept: tiers.keeps(wanted.key) }
    }
    const flight = async (flightSignal: AbortSignal): Promise<Omit<Obtained, 'collapsed'>> =>
      (await look()) ?? once(wanted.key, () => render(wanted, flightSignal), look, flightSignal)
    const { value, joined } = await flights.run(wanted.key, flight, signal)
    return { ...value, collapsed: joined }
  }
}
