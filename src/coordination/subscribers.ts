/** The subscribers of one process to change notices. */
import type { Digest } from '../core/ids.ts'

type Listener = (changed: Digest | 'all') => void

export interface Subscribers {
  subscribe(listener: Listener): () => void
  /** Tells all, one after the other; one that throws hinders no other. @throws AggregateError of what was thrown. */
  tell(changed: Digest | 'all'): void
}

export const createSubscribers = (): Subscribers => {
  const listeners = new Set<Listener>()
  return {
    subscribe: (listener) => {
      // Wrapped, so that one function subscribed twice is two subscriptions.
      const own: Listener = (changed) => listener(changed)
      listeners.add(own)
      return () => void listeners.delete(own)
    },
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
  }
}
