/** So many at once: workers over a lazy source, and places for requests. */

/** `count` workers take from the source until it ends; the first that throws makes the others stop after what they are at. */
export const eachOf = async <T>(
  source: AsyncIterable<T>,
  count: number,
  work: (item: T) => Promise<void>,
): Promise<void> => {
  const items = source[Symbol.asyncIterator]()
  let stopped = false
  const worker = async () => {
    try {
      while (!stopped) {
        const { done, value } = await items.next()
        if (done) return
        await work(value)
      }
    } catch (error) {
      stopped = true
      throw error
    }
  }
  const results = await Promise.allSettled(Array.from({ length: count }, worker))
  await items.return?.()
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** First come, first served. Who waits is bounded by the workers, times a file's lanes. */
export const createPlaces = (count: number): (<T>(work: () => Promise<T>) => Promise<T>) => {
  let free = count
  const waiting: (() => void)[] = []
  return async (work) => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await work()
    } finally {
      // Handed over: a newcomer cannot slip in before who waits.
      const next = waiting.shift()
      if (next) next()
      else free += 1
    }
  }
}
