/** The server's own counters, as it tells them to Prometheus. */
import type { Origin } from './origin.ts'

/** @returns plain samples by name; those with labels are left out. */
export const readCounters = async ({ address }: Pick<Origin, 'address'>): Promise<ReadonlyMap<string, number>> => {
  const text = await (await fetch(`${address}/metrics`)).text()
  return new Map(
    [...text.matchAll(/^([a-z_]+) ([\d.e+]+)$/gm)].map(([, name = '', value]) => [name, Number(value)] as const),
  )
}
