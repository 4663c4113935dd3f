/**
 * Reads that no later than their asking have begun: for those who may not be given what was read before. Of one key at most one
 * runs and one is to follow it; whoever asks while one runs shares the one that follows. So a crowd costs two reads, not one each.
 */
export const createFreshReads = <Key, Value>(read: (key: Key) => Promise<Value>): ((key: Key) => Promise<Value>) => {
  const running = new Map<Key, { readonly now: Promise<Value>; next?: Promise<Value> }>()

  const begin = (key: Key): Promise<Value> => {
    const now = read(key)
    const entry: { readonly now: Promise<Value>; next?: Promise<Value> } = { now }
    running.set(key, entry)
    const end = () => {
      if (!entry.next) running.delete(key)
    }
    now.then(end, end)
    return now
  }

  return (key) => {
    const entry = running.get(key)
    if (!entry) return begin(key)
    const follow = () => begin(key)
    entry.next ??= entry.now.then(follow, follow)
    return entry.next
  }
}
