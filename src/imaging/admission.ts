/**
 * Bounded running and bounded waiting, by number and by cost. First come, first served: a freed place is handed to the head of
 * the line, so a newcomer cannot slip in, and a dear job at the head is not overtaken for ever by cheap ones.
 */
import { AppError } from '../core/errors.ts'

export interface AdmissionOptions {
  /** Jobs at once. */
  readonly places: number
  /** Cost of the jobs running at once; a job dearer than all of it runs alone. */
  readonly runningCost: number
  /** Jobs that may wait, and what they may cost together. */
  readonly waiting: number
  readonly waitingCost: number
  /** What one place works off in a second, to say when to come back. */
  readonly costPerSecond: number
}

/** Gives the place back. Calling it twice is harmless. */
export type Leave = () => void

interface Waiter {
  readonly cost: number
  readonly enter: () => void
  readonly refuse: (error: Error) => void
}

const MAX_RETRY_SECONDS = 30

export class Admission {
  readonly #options: AdmissionOptions
  readonly #line = new Set<Waiter>()
  #running = 0
  #runningCost = 0
  #waitingCost = 0
  #closed = false

  constructor(options: AdmissionOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  get runningCost(): number {
    return this.#runningCost
  }

  get waiting(): number {
    return this.#line.size
  }

  get waitingCost(): number {
    return this.#waitingCost
  }

  /**
   * Resolves when the job may run.
   * @throws AppError `busy` at once when the line is full; the signal's reason when it aborts while waiting.
   */
  async enter(cost: number, signal: AbortSignal): Promise<Leave> {
    signal.throwIfAborted()
    const { waiting, waitingCost } = this.#options
    if (this.#closed) throw this.#busy('the renderers are shutting down')
    if (this.#line.size === 0 && this.#fits(cost)) return this.#take(cost)
    if (this.#line.size >= waiting) throw this.#busy(`${this.#line.size} pictures are waiting for a renderer already`)
    // An empty line takes any one job, however dear: else it could never be rendered on a busy day.
    if (this.#line.size > 0 && this.#waitingCost + cost > waitingCost) {
      throw this.#busy(`pictures worth ${Math.round(this.#waitingCost)} megapixels are waiting for a renderer already`)
    }
    return this.#wait(cost, signal)
  }

  /** Refuses all who wait and all who come. */
  close(): void {
    this.#closed = true
    for (const waiter of this.#line) waiter.refuse(this.#busy('the renderers are shutting down'))
  }

  #fits(cost: number): boolean {
    const { places, runningCost } = this.#options
    return this.#running < places && (this.#running === 0 || this.#runningCost + cost <= runningCost)
  }

  #busy(message: string): AppError {
    const seconds = (this.#waitingCost + this.#runningCost) / (this.#options.costPerSecond * this.#options.places)
    const retryAfterSeconds = Math.min(MAX_RETRY_SECONDS, Math.max(1, Math.ceil(seconds)))
    return new AppError('busy', message, { retryAfterSeconds })
  }

  #take(cost: number): Leave {
    this.#running += 1
    this.#runningCost += cost
    let left = false
    return () => {
      if (left) return
      left = true
      this.#running -= 1
      this.#runningCost = this.#running === 0 ? 0 : this.#runningCost - cost
      this.#admitNext()
    }
  }

  #admitNext(): void {
    for (const next of this.#line) {
      if (!this.#fits(next.cost)) return
      next.enter()
    }
  }

  #wait(cost: number, signal: AbortSignal): Promise<Leave> {
    const { promise, resolve, reject } = Promise.withResolvers<Leave>()
    const stepOut = (): void => {
      this.#line.delete(waiter)
      this.#waitingCost = this.#line.size === 0 ? 0 : this.#waitingCost - cost
      signal.removeEventListener('abort', giveUp)
    }
    const giveUp = (): void => {
      stepOut()
      reject(signal.reason)
      // It may have been a dear job at the head that held up cheaper ones.
      this.#admitNext()
    }
    const waiter: Waiter = {
      cost,
      enter: () => {
        stepOut()
        resolve(this.#take(cost))
      },
      refuse: (error) => {
        stepOut()
        reject(error)
      },
    }
    this.#line.add(waiter)
    this.#waitingCost += cost
    signal.addEventListener('abort', giveUp)
    return promise
  }
}
