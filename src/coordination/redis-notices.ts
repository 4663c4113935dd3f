/**
 * Change notices among instances: each says to the publisher that it has told its subscribers. Who does not answer in time is
 * counted in the receipt; it either hears the notice late, or loses its connection and then forgets everything.
 */
import type { Digest } from '../core/ids.ts'
import { isDigest } from '../core/ids.ts'
import type { ChangeNotices, Receipt } from './coordination.ts'
import type { Channels } from './redis-channels.ts'
import { createSubscribers } from './subscribers.ts'

const CHANNEL = 'changes'
/** An instance that is well answers within a few ms; a delete is not held up longer by one that is not. */
const CONFIRM_LIMIT_MS = 500
/** Changes that could not be said, kept until they can: past this the others are told to forget everything. */
const MAX_UNSAID = 500

export interface NoticeStats {
  published: number
  /** Instances that confirmed, and that did not in time. */
  confirmed: number
  unconfirmed: number
  heard: number
  /** Subscribers of this process that failed on a notice of another. */
  faults: number
  /** Changes that this instance could not yet tell the others. */
  unsaid: number
}

export interface RedisNotices extends ChangeNotices {
  readonly stats: Readonly<NoticeStats>
}

export const createRedisNotices = (channels: Channels): RedisNotices => {
  const subscribers = createSubscribers()
  const stats: NoticeStats = { published: 0, confirmed: 0, unconfirmed: 0, heard: 0, faults: 0, unsaid: 0 }
  const confirmations = createConfirmations()
  const unsaid = createUnsaid(stats)

  const tellAll = (changed: Digest | 'all'): boolean => {
    try {
      subscribers.tell(changed)
      return true
    } catch {
      stats.faults += 1
      return false
    }
  }

  channels.on(CHANNEL, (text) => {
    const notice = parseNotice(text)
    if (!notice) return
    // Our own: its subscribers were told before it was published.
    if (notice.from === channels.instance) {
      confirmations.note(notice.number, channels.instance)
      return
    }
    stats.heard += 1
    // A subscriber that failed has not been told: then we do not say that all were.
    if (tellAll(notice.changed))
      channels.send(notice.from, `heard ${notice.number} ${channels.instance}`).catch(() => {})
  })
  channels.onSent((text) => {
    const [, number, instance] = /^heard (\d{1,15}) ([\w-]{1,32})$/.exec(text) ?? []
    if (number && instance) confirmations.note(Number(number), instance)
  })
  channels.onGap(() => void tellAll('all'))

  /** @throws when it could not be published. */
  const say = async (changed: Digest | 'all'): Promise<Receipt> => {
    using asked = confirmations.expect()
    const sentTo = await channels.publish(CHANNEL, `${channels.instance} ${asked.number} ${changed}`)
    const confirmedBy = await asked.by(sentTo)
    // A subscription of our own that is down is in neither number.
    const ours = channels.live() || confirmedBy.has(channels.instance) ? 1 : 0
    const instances = Math.max(sentTo - ours, 0)
    const confirmed = confirmedBy.size - (confirmedBy.has(channels.instance) ? 1 : 0)
    stats.confirmed += confirmed
    stats.unconfirmed += Math.max(instances - confirmed, 0)
    return { instances, confirmed, tiers: { instances: confirmed >= instances ? 'confirmed' : 'unreachable' } }
  }

  channels.onBeat(() => {
    for (const changed of unsaid.takeAll()) say(changed).catch(() => unsaid.keep(changed))
  })

  return {
    async publish(digest) {
      stats.published += 1
      const faults: unknown[] = []
      try {
        subscribers.tell(digest)
      } catch (error) {
        faults.push(error)
      }
      const receipt = await say(digest).catch(() => {
        unsaid.keep(digest)
        return NOBODY_REACHED
      })
      if (faults.length > 0) throw faults[0]
      return receipt
    },
    subscribe: subscribers.subscribe,
    live: channels.live,
    stats,
  }
}

const NOBODY_REACHED: Receipt = { instances: 0, confirmed: 0, tiers: { instances: 'unreachable' } }

interface Notice {
  readonly from: string
  readonly number: number
  readonly changed: Digest | 'all'
}

const parseNotice = (text: string): Notice | undefined => {
  const [, from, number, changed = ''] = /^([\w-]{1,32}) (\d{1,15}) (\w{3,64})$/.exec(text) ?? []
  if (!from || !number || !(changed === 'all' || isDigest(changed))) return undefined
  return { from, number: Number(number), changed }
}

/** Who has confirmed which notice, from before it is published until its time is up. */
const createConfirmations = () => {
  const waiting = new Map<number, { readonly by: Set<string>; check: () => void }>()
  let last = 0
  return {
    note(number: number, instance: string) {
      const entry = waiting.get(number)
      entry?.by.add(instance)
      entry?.check()
    },
    expect() {
      last += 1
      const number = last
      const by = new Set<string>()
      const entry = { by, check: () => {} }
      waiting.set(number, entry)
      return {
        number,
        /** Resolves when so many have confirmed, or when the time is up. */
        by: (count: number) =>
          new Promise<ReadonlySet<string>>((resolve) => {
            const timer = setTimeout(() => resolve(by), CONFIRM_LIMIT_MS)
            entry.check = () => {
              if (by.size < count) return
              clearTimeout(timer)
              resolve(by)
            }
            entry.check()
          }),
        [Symbol.dispose]: () => void waiting.delete(number),
      }
    },
  }
}

const createUnsaid = (stats: NoticeStats) => {
  const kept = new Set<Digest | 'all'>()
  return {
    keep(changed: Digest | 'all') {
      if (kept.has('all')) return
      const everything = changed === 'all' || kept.size >= MAX_UNSAID
      if (everything) kept.clear()
      kept.add(everything ? 'all' : changed)
      stats.unsaid = kept.size
    },
    takeAll(): readonly (Digest | 'all')[] {
      const all = [...kept]
      kept.clear()
      stats.unsaid = 0
      return all
    },
  }
}
