/**
 * One piece of work per key at a time: whoever asks while it is under way shares it (CONTRACT §7.5). The flight has its
 * own signal and lives on when its first caller leaves; only when all have left is it told that nobody waits any more.
 */
import { unlessAborted } from '../core/unless-aborted.ts'

interface Flight<T> {
  readonly result: Promise<T>
  readonly nobodyWaits: AbortController
  waiting: number
}

export interface SingleFlight<K, T> {
  /**
   * @param work starts the flight if none is under way; its signal aborts when the last caller has left.
   * @param signal of this caller: aborting leaves the flight, it does not stop it for the others.
   * @returns the shared result, and whether this caller joined a flight that was already under way.
   */
  run(key: K, work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<{ value: T; joined: boolean }>
  readonly size: number
}

export const createSingleFlight = <K, T>(): SingleFlight<K, T> => {
  const flights = new Map<K, Flight<T>>()

  const start = (key: K, work: (signal: AbortSignal) => Promise<T>): Flight<T> => {
    const nobodyWaits = new AbortController()
    const result = work(nobodyWaits.signal).finally(() => {
      if (flights.get(key) === flight) flights.delete(key)
    })
    // Every caller may have left by the time it fails; the failure is then nobody's, not the process's.
    result.catch(() => {})
    const flight: Flight<T> = { result, nobodyWaits, waiting: 0 }
    flights.set(key, flight)
    return flight
  }

  const leave = (key: K, flight: Flight<T>): void => {
    flight.waiting -= 1
    const underWay = flights.get(key) === flight
    if (flight.waiting > 0 || !underWay) return
    // A newcomer must not join work that is being abandoned.
    flights.delete(key)
    flight.nobodyWaits.abort()
  }

  return {
    async run(key, work, signal) {
      signal.throwIfAborted()
      const underWay = flights.get(key)
      const flight = underWay ?? start(key, work)
      flight.waiting += 1
      try {
        return { value: await unlessAborted(flight.result, signal), joined: underWay !== undefined }
      } finally {
        leave(key, flight)
      }
    },
    get size() {
      return flights.size
    },
  }
}
