/** Are the delivery events that the origins count as recorded in ClickHouse, each once? */
import { setTimeout as sleep } from 'node:timers/promises'
import { sumOf } from '../e2e/metric.ts'
import { ask } from './answers.ts'
import type { StackRig } from './rig.ts'
import { AUTHORIZED } from './upload.ts'

interface Events {
  readonly recorded: number
  readonly dropped: number
  readonly rows: number
}

/** Long past the loader's pauses after failures, 2 + 4 + 8 s. */
const LIMIT_MS = 120_000

const count = async ({ stack, clickhouse, urls }: StackRig): Promise<Events> => {
  // A question is answered after the origin's own events have been sent.
  await Promise.all(urls.map((url) => ask(`${url}/analytics/summary`, { headers: AUTHORIZED })))
  const [row] = (await clickhouse?.rows('SELECT count() AS n FROM delivery_events')) ?? []
  return {
    recorded: await sumOf(stack.origins, 'analytics_recorded_total'),
    dropped: await sumOf(stack.origins, 'analytics_spool_rejected_rows_total'),
    rows: Number(row?.n),
  }
}

/** @returns a function that says, when no load runs, what is wrong with the events since. */
export const watchEvents = async (rig: StackRig): Promise<() => Promise<readonly string[]>> => {
  const settled = async (since: Events | undefined): Promise<Events> => {
    for (const until = performance.now() + LIMIT_MS; ; await sleep(200)) {
      const now = await count(rig)
      const even = since
        ? now.rows - since.rows === now.recorded - since.recorded
        : (await count(rig)).rows === now.rows
      if (even || performance.now() > until) return now
    }
  }
  const before = await settled(undefined)
  return async () => {
    const after = await settled(before)
    const [recorded, rows] = [after.recorded - before.recorded, after.rows - before.rows]
    const rejected = after.dropped - before.dropped
    return [
      ...(recorded === rows ? [] : [`${recorded} events recorded, ${rows} in ClickHouse`]),
      ...(rejected === 0 ? [] : [`${rejected} events put aside`]),
    ]
  }
}
