/** Leaving a wait without stopping what is waited for. */

/** What `result` resolves to, unless `signal` aborts first. @throws the signal's reason, or what `result` rejects with. */
export const unlessAborted = async <T>(result: Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason as Error)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([result, promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
