/**
 * A bounded memory in two generations: what was asked for since the last turn stays, what was not is forgotten. Coarser than an
 * LRU and a third of its cost, one hash look-up, where the hot path does it for every request.
 */
export interface Generations<K, V> {
  get(key: K): V | undefined
  set(key: K, value: V): void
}

/** @param max entries held at the most, over both generations. */
export const createGenerations = <K, V>(max: number): Generations<K, V> => {
  let young = new Map<K, V>()
  let old = new Map<K, V>()
  const set = (key: K, value: V): void => {
    if (young.size >= max / 2) {
      old = young
      young = new Map()
    }
    young.set(key, value)
  }
  return {
    get(key) {
      const value = young.get(key)
      if (value !== undefined) return value
      const older = old.get(key)
      if (older !== undefined) set(key, older)
      return older
    },
    set,
  }
}
