/** Who of this process listens to change notices; every driver tells them through here. */
import type { Digest } from '../core/ids.ts'
import type { ChangeNotices } from './coordination.ts'

export interface Subscribers extends Pick<ChangeNotices, 'subscribe'> {
  /** Tells all, one after the other. One that throws hinders no other. @throws AggregateError of what they threw. */
  tell(changed: Digest | 'all'): void
}

export const createSubscribers = (): Subscribers => {
  const listeners = new Set<(changed: Digest | 'all') => void>()
  return {
    tell: (changed) => {
      const faults: unknown[] = []
      for (const listener of listeners) {
        try {
          listener(changed)
        } catch (error) {
          faults.push(error)
        }
      }
      if (faults.length > 0) throw new AggregateError(faults, `a subscriber failed on the change of ${changed}`)
    },
    subscribe: (listener) => {
      // Wrapped, so that one function subscribed twice is two subscriptions.
      const own = (changed: Digest | 'all') => listener(changed)
      listeners.add(own)
      return () => void listeners.delete(own)
    },
  }
}
