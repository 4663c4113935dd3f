/** Leases and change notices for one process: queues and callbacks in memory. */
import { type ChangeNotices, type Lease, type Locker, NOBODY_ASKED, type RenderLeases } from './coordination.ts'
import { createSubscribers } from './subscribers.ts'

/** What one process holds in memory it loses only with itself. */
const NEVER_LOST = new AbortController().signal

/** First come, first served per name. A freed name is handed over, so that a newcomer cannot slip in before those who wait. */
export const createInProcessLocker = (): Locker => {
  const queues = new Map<string, Set<() => void>>()
  let token = 0

  const release = (name: string) => {
    const queue = queues.get(name)
    const [next] = queue ?? []
    if (!queue || !next) {
      queues.delete(name)
      return
    }
    queue.delete(next)
    next()
  }

  const grant = (name: string): Lease => {
    let held = true
    token += 1
    return {
      token,
      lost: NEVER_LOST,
      [Symbol.asyncDispose]: async () => {
        if (held) release(name)
        held = false
      },
    }
  }

  return {
    acquire: async (name, signal) => {
      signal.throwIfAborted()
      const queue = queues.get(name)
      if (!queue) {
        queues.set(name, new Set())
        return grant(name)
      }
      await takeTurn(queue, signal)
      return grant(name)
    },
  }
}

const takeTurn = (queue: Set<() => void>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const turn = () => {
      signal.removeEventListener('abort', leave)
      resolve()
    }
    const leave = () => {
      queue.delete(turn)
      reject(signal.reason)
    }
    queue.add(turn)
    signal.addEventListener('abort', leave, { once: true })
  })

/** Subscribers are told one after the other, before `publish` resolves. One that throws hinders no other; then `publish` rejects. */
export const createInProcessNotices = (): ChangeNotices => {
  const subscribers = createSubscribers()
  return {
    publish: async (digest) => {
      subscribers.tell(digest)
      return NOBODY_ASKED
    },
    subscribe: subscribers.subscribe,
    live: () => true,
  }
}

/** Single flight collapses within a process, so here everybody who asks may render. */
export const createInProcessLeases = (): RenderLeases => {
  let token = 0
  return {
    claim: async () => {
      token += 1
      return { kind: 'granted', lease: { token, finish: async () => {} }, renderedBefore: false }
    },
  }
}
