/**
 * What delivery knows of a hash, remembered until something changes it. A deleted or now-private asset must not be served
 * from the moment the call returns (CONTRACT §7.4), so change notices mark every remembered copy as no longer current,
 * also one that somebody holds in the middle of a request.
 */
import { LRUCache } from 'lru-cache'
import type { ChangeNotices } from '../coordination/coordination.ts'
import type { DeliverySubject } from '../core/asset.ts'
import type { Digest } from '../core/ids.ts'
import { createFreshReads } from './fresh-reads.ts'

export interface KnownSubject {
  /** undefined: no asset has this hash. */
  readonly subject: DeliverySubject | undefined
  /** Turns false when a change was announced after this was read: read again before you rely on it. */
  current: boolean
}

export interface Subjects extends Disposable {
  /** Without I/O; undefined when not remembered. */
  peek(digest: Digest): KnownSubject | undefined
  /** Remembered or read; current when it resolves, unless notices may be missed: then it was true when it was read. */
  find(digest: Digest): Promise<KnownSubject>
  readonly size: number
}

/** ~1 KB an entry with its facts: 20 MB at the most. */
const MAX_REMEMBERED = 20_000

export const createSubjects = (
  read: (digest: Digest) => Promise<DeliverySubject | undefined>,
  notices: ChangeNotices,
): Subjects => {
  const known = new LRUCache<Digest, KnownSubject>({
    max: MAX_REMEMBERED,
    // Who holds a copy of what we forget no longer hears of changes, so it must ask again.
    dispose: (entry) => {
      entry.current = false
    },
  })
  const reading = new Map<Digest, Promise<KnownSubject>>()
  const readAnew = createFreshReads(read)

  const unsubscribe = notices.subscribe((changed) => {
    // A read that is under way may have seen the rows before the change: whoever waits for it must read again.
    if (changed === 'all') {
      reading.clear()
      known.clear()
    } else {
      reading.delete(changed)
      known.delete(changed)
    }
  })

  const load = (digest: Digest): Promise<KnownSubject> => {
    const entry: Promise<KnownSubject> = read(digest).then(
      (subject) => {
        const mine = reading.get(digest) === entry
        if (!mine) return { subject, current: false }
        reading.delete(digest)
        const fresh = { subject, current: true }
        known.set(digest, fresh)
        return fresh
      },
      (error: unknown) => {
        if (reading.get(digest) === entry) reading.delete(digest)
        throw error
      },
    )
    reading.set(digest, entry)
    return entry
  }

  return {
    peek: (digest) => (notices.live() ? known.get(digest) : undefined),
    async find(digest) {
      for (;;) {
        // Not told of changes, we remember nothing: each is answered by rows read after it asked, and again before it sends.
        if (!notices.live()) return { subject: await readAnew(digest), current: false }
        const entry = known.get(digest) ?? (await (reading.get(digest) ?? load(digest)))
        if (entry.current) return entry
      }
    },
    get size() {
      return known.size
    },
    [Symbol.dispose]: unsubscribe,
  }
}
