/** Port to a column engine that speaks ClickHouse over HTTP: the embedded one, started on demand, or a server elsewhere. */
import type { ClickHouseClient } from '@clickhouse/client'

export type EngineState =
  /** Nothing is running because nothing needs it. */
  | 'idle'
  | 'starting'
  | 'ready'
  /** It failed and is being started again, or waits its turn to be. */
  | 'recovering'
  /** It can never run here; `detail` says why. */
  | 'unavailable'
  | 'closed'

export interface EngineHealth {
  readonly state: EngineState
  readonly detail: string
}

export interface EngineStats {
  /** Times the engine was started, and times it died or had to be killed. */
  readonly starts: number
  readonly failures: number
}

export interface Engine {
  /**
   * Runs `work` against a ready engine whose tables exist; starts it first where that is our affair. `signal` bounds the
   * wait and is for `work` to hand on.
   * @throws AppError `busy` when the engine cannot be had now; what `work` throws as it is.
   */
  use<T>(work: (client: ClickHouseClient) => Promise<T>, signal: AbortSignal): Promise<T>
  health(): EngineHealth
  readonly stats: EngineStats
  close(): Promise<void>
}
