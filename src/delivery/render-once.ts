/**
 * One render among instances (CONTRACT §7.5): whoever gets the lease of a key renders, the others wait for the result's arrival and
 * read it. Nothing here can make an answer fail: what cannot be shared, or takes too long, is rendered here.
 */
import type { RenderLease, RenderLeases } from '../coordination/coordination.ts'
import { AppError } from '../core/errors.ts'
import type { VariantKey } from '../core/ids.ts'
import { unlessAborted } from '../core/unless-aborted.ts'

export interface RenderOncePorts {
  readonly leases: RenderLeases
  /** Resolves when other instances can find what was just put, or when that has failed. Never rejects. */
  readonly reachable: (key: VariantKey) => Promise<void>
  /** How long another instance's render is waited for, in ms: a renderer's deadline, after which that render is dead. */
  readonly maxWaitMs: number
}

export type RenderOnce = ReturnType<typeof createRenderOnce>

/** @returns a function that throws what `render` throws, AppError `undecodable` as another instance found, or the signal's reason. */
export const createRenderOnce = ({ leases, reachable, maxWaitMs }: RenderOncePorts) => {
  /** The result is the caller's at once; who waits elsewhere is told when it can be found. */
  const underLease = async <T>(lease: RenderLease, key: VariantKey, work: () => Promise<T>): Promise<T> => {
    try {
      const made = await work()
      void reachable(key).then(() => lease.finish({ kind: 'stored' }))
      return made
    } catch (error) {
      const undecodable = error instanceof AppError && error.kind === 'undecodable'
      void lease.finish(undecodable ? { kind: 'undecodable', detail: error.message } : { kind: 'failed' })
      throw error
    }
  }

  /**
   * @param render makes the variant and puts it where `look` finds it.
   * @param look asks the tiers again.
   * @param signal aborts the wait for another instance; `render` has its own.
   */
  return async <T>(
    key: VariantKey,
    render: () => Promise<T>,
    look: () => Promise<T | undefined>,
    signal: AbortSignal,
  ): Promise<T> => {
    const until = performance.now() + maxWaitMs
    while (performance.now() < until) {
      const claim = await leases.claim(key)
      switch (claim.kind) {
        case 'granted': {
          const lookFirst = async () => (await look()) ?? render()
          return underLease(claim.lease, key, claim.renderedBefore ? lookFirst : render)
        }
        case 'held': {
          const outcome = await unlessAborted(claim.arrival, signal)
          if (outcome?.kind === 'undecodable') throw new AppError('undecodable', outcome.detail)
          // What was put and cannot be found here, too large for the shared cache and on another machine's disk, is made here.
          if (outcome?.kind === 'stored') return (await look()) ?? render()
          break
        }
        case 'undecodable':
          throw new AppError('undecodable', claim.detail)
        case 'alone':
          return render()
        default:
          claim satisfies never
      }
    }
    return render()
  }
}
